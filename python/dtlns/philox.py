"""The core's random numbers by tensor code: the same bits, on any device.

Words of 32 bits are held in int64, whose products wrap around modulo 2^64 as unsigned ones do; what a shift
to the right drags along of the sign is masked away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dtlns import _core
from dtlns._border import integer, seed_value

_MASK = 2**32 - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)

FEW = 2**16
"""Up to this bound, four words are enough for `Numbers.below`."""
MANY = 2**24
"""Up to this bound, eight words are enough for `Numbers.below`."""


@dataclass(frozen=True)
class Numbers:
    """Numbers of one stream for rows and draws; draw d of a row depends on the key, the row and d alone.

    Source: Philox4x32-10, Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

    Attributes:
        key: The stream's two words.
        rows: int64 [B].
        n: Draws for each row, N.
    """

    key: tuple[int, int]
    rows: Tensor
    n: int

    @classmethod
    def of(cls, kind: str, purpose: int, seed: int, epoch: int, rows: Tensor, n: int) -> Numbers:
        """Open a stream, by the names of `dtlns._core.stream_key`."""
        key = _core.stream_key(
            kind, integer("purpose", purpose, 0, 2**31 - 1), seed_value(seed), seed_value(epoch, "epoch")
        )
        return cls(key, rows, integer("n", n, 0, 2**31 - 1))

    def words(self, attempt: int = 0) -> list[Tensor]:
        """Return the four words of each draw, int64 [B, N] each, below 2^32."""
        rows = self.rows.unsqueeze(1)
        draws = torch.arange(self.n, device=rows.device).unsqueeze(0)
        words = [rows & _MASK, rows >> 32, draws, torch.full_like(draws, attempt)]
        keys = list(self.key)
        for _ in range(10):
            first, second = words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]
            # a product's high half mixes now, its low half is masked with the next mix
            words = [
                ((second >> 32) ^ words[1] ^ keys[0]) & _MASK,
                second,
                ((first >> 32) ^ words[3] ^ keys[1]) & _MASK,
                first,
            ]
            keys = [(key + weyl) & _MASK for key, weyl in zip(keys, _WEYL, strict=True)]
        return [words[0], words[1] & _MASK, words[2], words[3] & _MASK]

    def unit(self) -> Tensor:
        """Return numbers in [0, 1), float32 [B, N], multiples of 2^-24."""
        return (self.words()[0] >> 8).to(torch.float32) * 2.0**-24

    def below(self, bound: Tensor, largest: int) -> Tensor:
        """Return integers below a bound of each row, exactly uniform (Lemire 2019).

        The core takes words until one is accepted; here a fixed number is made, as the shape of the work
        must not depend on the numbers. A word is refused with probability (2^32 mod bound) / 2^32, less than
        bound / 2^32: at most 2^-16 for bounds up to 2^16, of which four in a row are refused with
        probability below 2^-64, and at most 2^-8 for bounds up to 2^24, of which eight are. A thousand
        million draws a second would meet such a case, in which the last word is taken, once in 580 years.

        Args:
            bound: int64 [B], from 1 to `largest`.
            largest: At most `MANY`.

        Returns:
            int64 [B, N].
        """
        bound = bound.unsqueeze(1)
        threshold = 2**32 % bound
        words = self.words() if largest <= FEW else self.words(0) + self.words(1)
        chosen = words[-1] * bound
        for word in reversed(words[:-1]):
            product = word * bound
            chosen = torch.where((product & _MASK) >= threshold, product, chosen)
        return chosen >> 32

    def below_wide(self, bound: Tensor) -> Tensor:
        """Return integers below a bound of each row, exactly uniform, from words of 64 bits.

        One in 2^32 is refused at most, and the second is taken then: both are with probability below 2^-64.

        Args:
            bound: int64 [B], from 1 to 2^32 - 1.

        Returns:
            int64 [B, N].
        """
        bound = bound.unsqueeze(1)
        threshold = _power_64_modulo(bound)
        a, b, c, d = self.words()
        low_first = a * bound
        first = b * bound + ((low_first >> 32) & _MASK)  # the product without its last 32 bits
        second = d * bound + ((c * bound >> 32) & _MASK)
        accepted = ((first & _MASK) != 0) | ((low_first & _MASK) >= threshold)
        return (torch.where(accepted, first, second) >> 32) & _MASK


def _power_64_modulo(bound: Tensor) -> Tensor:
    """Return 2^64 mod bound for int64 bounds below 2^32; the square of 2^32 mod bound may wrap around."""
    root = 2**32 % bound
    high = (root >> 16) * root % bound  # below 2^48
    return (high * 2**16 + (root & 0xFFFF) * root) % bound  # each below 2^48
