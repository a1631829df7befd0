"""Memory of a run: what is freed is kept for the next step, and what is lacking is named."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dtlns.errors import OutOfMemoryError
from dtlns.training.settings import TrainConfig

# of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MAPPINGS = 65536  # its default


@contextmanager
def memory_kept() -> Iterator[None]:
    """Let the C library keep what the body frees, and give it back at the end; only where that is glibc.

    A step frees tens of megabytes which the next one needs again. glibc returns them to the system, from
    which they come back page by page and filled with zeros: that is a quarter of an epoch of LightGCN.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        yield
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(_M_MMAP_MAX, _MAPPINGS)
        mallopt(_M_TRIM_THRESHOLD, 2**26)  # where glibc's own rule ends
        trim(0)


@contextmanager
def memory_named(settings: TrainConfig) -> Iterator[None]:
    """Turn an allocation that failed into an error that says what to lower.

    Args:
        settings: The run.

    Raises:
        OutOfMemoryError: The body ran out of memory.
    """
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_memory(error):
            raise
        sampler = settings.sampler
        raise OutOfMemoryError(
            f"out of memory with batch_size = {settings.batch_size}, dimensions = "
            f"{settings.model.dimensions}, candidates = {sampler.candidates} and negatives = "
            f"{sampler.negatives} ({str(error).splitlines()[0]})",
            hint="lower batch_size first, then candidates and negatives; the tables themselves need "
            "dimensions · (users + items) · 16 bytes with Adam",
        ) from error


def _is_memory(error: RuntimeError) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "can't allocate memory" in text
