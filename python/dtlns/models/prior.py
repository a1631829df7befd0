"""A host with a prior: what the false-negative model says of a pair is added to the host's score."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtlns.errors import InputError
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.storage import load_matrices, save_matrices

KIND = "with-prior"


class WithPrior:
    """Scores by ⟨u, i⟩ + prior(u, i), where the prior is 0 for a pair that was no candidate.

    Args:
        host: The trained model.
        prior: float32 CSR [U, I], not negative, with its weight already in it.

    Raises:
        InputError: The sizes differ, or an entry is negative or not finite.

    Example:
        >>> host = EmbeddingScorer(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
        >>> WithPrior(host, sp.csr_array(np.float32([[0, 3], [0, 0]]))).score(np.array([0])).tolist()
        [[1.0, 3.0]]
    """

    def __init__(self, host: EmbeddingScorer, prior: sp.csr_array) -> None:
        if prior.shape != (host.n_users, host.n_items):
            raise InputError(
                f"a prior for {prior.shape[0]} users and {prior.shape[1]} items",
                allowed=f"those of the host, {host.n_users} and {host.n_items}",
            )
        prior = sp.csr_array(prior, dtype=np.float32)
        if not prior.has_canonical_format:
            prior = prior.copy()
            prior.sum_duplicates()
        bad = ~(np.isfinite(prior.data) & (prior.data >= 0))
        if bad.any():
            raise InputError(f"an entry of the prior is {prior.data[bad][0]}", allowed="finite, 0 or more")
        self.host = host
        self.prior = prior
        self._sent: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return self.host.n_users

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return self.host.n_items

    def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every item for some users: int64 [B] -> float32 [B, I]."""
        scores = self.host.score(users)
        some = sp.coo_array(self.prior[users])
        scores[some.row, some.col] += some.data  # an item is once in a row
        return scores

    def score_tensor(self, users: Tensor) -> Tensor:
        """Score as `score` does, on the device of `users`: int64 [B] -> float32 [B, I]."""
        starts, items, values = self._on(users.device)
        scores = self.host.score_tensor(users)
        counts = starts[users + 1] - starts[users]
        rows = torch.repeat_interleave(torch.arange(len(users), device=users.device), counts)
        first = torch.cumsum(counts, 0) - counts
        at = starts[users][rows] + torch.arange(len(rows), device=users.device) - first[rows]
        scores[rows, items[at]] += values[at]
        return scores

    def save(self, folder: Path) -> None:
        """Write `scorer.json` and `scorer.safetensors` into an existing folder."""
        vectors = {"user_vectors": self.host.user_vectors, "item_vectors": self.host.item_vectors}
        save_matrices(folder, KIND, prior=self.prior, **vectors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_matrices(folder, KIND)
        return cls(EmbeddingScorer(arrays["user_vectors"], arrays["item_vectors"]), arrays["prior"])

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        if device not in self._sent:
            parts = (self.prior.indptr.astype(np.int64), self.prior.indices.astype(np.int64), self.prior.data)
            self._sent[device] = tuple(torch.from_numpy(part).to(device) for part in parts)  # type: ignore[assignment]
        return self._sent[device]
