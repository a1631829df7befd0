"""Out of memory, said in terms of the settings that need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dtlns.errors import TrainingError
from dtlns.training.settings import TrainConfig


@contextmanager
def memory_named(settings: TrainConfig) -> Iterator[None]:
    """Turn an allocation that failed into an error that says what to lower.

    Args:
        settings: The run.

    Raises:
        TrainingError: The body ran out of memory.
    """
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_memory(error):
            raise
        sampler = settings.sampler
        raise TrainingError(
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
