"""A run that is killed with -9 in the middle of an epoch goes on to the very bits of one that is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from small_runs import runs  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, str(HERE / "train_killed.py"), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)  # the fixture trains all of them
@pytest.mark.parametrize("name", runs())
def test_a_killed_run_ends_in_the_same_bits(name: str, trained: Path) -> None:
    assert not (trained / name / "killed").exists()
    for file in ("users.npy", "items.npy", "history.json"):
        resumed, whole = ((trained / name / how / file).read_bytes() for how in ("resumed", "whole"))
        assert resumed == whole, file
