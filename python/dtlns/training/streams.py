"""Random numbers by key: (seed, purpose, epoch, row) names a number, whatever was drawn before it.

Per-row numbers come from `dtlns.sampling.keyed_uniform`; here are the generators for what is drawn once or
once an epoch. Nothing here holds state, so a resumed run, another batch size or another number of threads
sees the same numbers, and no generator needs to be stored in a checkpoint.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch

MIXING = 1
"""Purpose of the mixing coefficients among the streams of `dtlns.sampling.keyed_uniform`."""

PICKING = 2
"""Purpose of the pick among the hardest candidates of DNS(M, N)."""

MEMORY = 3
"""Purpose of what renews the memories of SRNS at the start of an epoch."""

RENEWAL = 4
"""Purpose of what renews them for each pair."""


def derive(seed: int, purpose: str, *numbers: int) -> int:
    """Return the 64-bit key of a stream: SHA-256 over the seed, a purpose and further numbers.

    Args:
        seed: The run's seed.
        purpose: What the numbers are for, such as `order`.
        *numbers: What else tells this stream from others, such as the epoch.

    Example:
        >>> derive(0, "order", 1) == derive(0, "order", 1) != derive(0, "order", 2)
        True
    """
    text = ":".join(["dtlns stream 1", str(seed), purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def numpy_generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Return a NumPy generator (Philox4x64) for one purpose."""
    return np.random.Generator(np.random.Philox(key=derive(seed, purpose, *numbers)))


def torch_generator(
    seed: int, purpose: str, *numbers: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator of PyTorch for one purpose; the global one is never touched."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, purpose, *numbers) >> 1)
    return generator


class Step(NamedTuple):
    """Which step of a run this is; the key of what a model or a loss draws in it.

    Attributes:
        seed: The run's seed.
        epoch: From 1.
        number: Batch number within the epoch, from 0.
    """

    seed: int
    epoch: int
    number: int

    def generator(self, purpose: str, device: torch.device) -> torch.Generator:
        """Return the generator of this step for one purpose, the same in every process."""
        return torch_generator(self.seed, purpose, self.epoch, self.number, device=device)
