"""Memory that a step frees and the next one needs again."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from dtlns.training.memory import memory_kept

resource = pytest.importorskip("resource")


def faults_of_three_steps() -> int:
    """Return how many pages came from the system while 64 MB were written and freed three times."""

    def step() -> None:
        blocks = [np.ones(2**20, dtype=np.float64) for _ in range(8)]
        del blocks

    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        step()
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc's malloc"
)
def test_freed_memory_is_kept_and_then_given_back() -> None:
    pages = 3 * 64 * 2**20 // resource.getpagesize()
    with memory_kept():
        assert faults_of_three_steps() < 0.1 * pages
    resident = resident_pages()
    with memory_kept():
        np.ones(2**25, dtype=np.float64)
    assert resident_pages() < resident + 2**25 * 8 // resource.getpagesize() // 2


def test_an_error_passes() -> None:
    with pytest.raises(ValueError, match="mine"), memory_kept():
        raise ValueError("mine")
