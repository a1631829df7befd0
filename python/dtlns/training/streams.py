"""Random numbers by key: (seed, purpose, epoch, row) names a number, whatever was drawn before it.

Nothing here holds state, so a resumed run, another batch size or another number of threads sees the same
numbers, and no generator needs to be stored in a checkpoint.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_MASK32 = 0xFFFFFFFF


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


def torch_generator(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """Return a CPU generator of PyTorch for one purpose; the global one is never touched."""
    generator = torch.Generator(device="cpu")
    generator.manual_seed(derive(seed, purpose, *numbers) >> 1)
    return generator


def row_uniforms(key: int, rows: NDArray[np.int64], columns: int) -> NDArray[np.float32]:
    """Draw U[0, 1) numbers that depend on the key and the row alone: Philox4x32-10, counter (row, block).

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

    Args:
        key: 64-bit key, as `derive` gives it.
        rows: int64 [B], global row numbers, not negative.
        columns: Numbers per row, C.

    Returns:
        float32 [B, C], multiples of 2^-24.

    Example:
        >>> both = row_uniforms(7, np.array([3, 5]), 2)
        >>> bool((row_uniforms(7, np.array([5]), 2) == both[1]).all())
        True
    """
    blocks = -(-columns // 4)
    low = rows.astype(np.uint64)
    shape = (len(rows), blocks)
    words = philox4x32(
        key,
        (
            np.broadcast_to((low & _LOW)[:, None], shape),
            np.broadcast_to((low >> _HIGH)[:, None], shape),
            np.broadcast_to(np.arange(blocks, dtype=np.uint64)[None, :], shape),
            np.zeros(shape, dtype=np.uint64),
        ),
    )
    bits = np.stack(words, axis=-1).reshape(len(rows), 4 * blocks)[:, :columns]
    return ((bits >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)).astype(np.float32)


def philox4x32(
    key: int, counter: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Run Philox4x32-10 on an array of counters; 32-bit words are held in uint64.

    Args:
        key: 64 bits, the low word first.
        counter: Four words, arrays of one shape.

    Returns:
        Four words of random bits, of the same shape.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key & _MASK32, (key >> 32) & _MASK32
    for _ in range(10):
        product0, product1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            (product1 >> _HIGH) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _HIGH) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & _MASK32, (k1 + _W1) & _MASK32
    return c0, c1, c2, c3
