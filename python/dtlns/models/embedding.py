"""The trained form of every embedding model: two tables and an inner product."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtlns.artifacts import load_arrays, save_arrays
from dtlns.errors import InputError
from dtlns.models.storage import TENSORS, read_header, write_header


class EmbeddingScorer:
    """Scores by the inner product of final embeddings; what training an embedding model ends in.

    Args:
        user_vectors: float32 [U, D].
        item_vectors: float32 [I, D].

    Raises:
        InputError: The shapes do not fit, or a number is not finite.

    Example:
        >>> scorer = EmbeddingScorer(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
        >>> scorer.score(np.array([1])).tolist()
        [[0.0, 1.0]]
    """

    def __init__(self, user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]) -> None:
        if user_vectors.ndim != 2 or item_vectors.ndim != 2 or user_vectors.shape[1] != item_vectors.shape[1]:
            raise InputError(
                f"user vectors {user_vectors.shape} and item vectors {item_vectors.shape} do not fit",
                allowed="two matrices [U, D] and [I, D]",
            )
        if not (np.isfinite(user_vectors).all() and np.isfinite(item_vectors).all()):
            raise InputError("a vector holds a number that is not finite")
        self.user_vectors = np.ascontiguousarray(user_vectors, dtype=np.float32)
        self.item_vectors = np.ascontiguousarray(item_vectors, dtype=np.float32)
        self._on_device: tuple[Tensor, Tensor] | None = None

    @classmethod
    def from_tensors(cls, user_vectors: Tensor, item_vectors: Tensor) -> Self:
        """Make a scorer of float32 [U, D] and [I, D], which stay where they are for `score_tensor`."""
        scorer = cls(user_vectors.cpu().numpy(), item_vectors.cpu().numpy())
        if user_vectors.device.type != "cpu":
            scorer._on_device = (user_vectors, item_vectors)
        return scorer

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return len(self.user_vectors)

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return len(self.item_vectors)

    def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every item for some users: int64 [B] -> float32 [B, I]."""
        scores: NDArray[np.float32] = self.user_vectors[users] @ self.item_vectors.T
        return scores

    def score_tensor(self, users: Tensor) -> Tensor:
        """Score as `score` does, on the device of `users`, where the embeddings are sent once.

        Args:
            users: int64 [B].

        Returns:
            float32 [B, I].
        """
        if self._on_device is None or self._on_device[0].device != users.device:
            self._on_device = (
                torch.tensor(self.user_vectors, device=users.device),
                torch.tensor(self.item_vectors, device=users.device),
            )
        user_vectors, item_vectors = self._on_device
        return user_vectors[users] @ item_vectors.T

    def save(self, folder: Path) -> None:
        """Write `scorer.json` and `scorer.safetensors` into an existing folder."""
        write_header(folder, "embedding", n_users=self.n_users, n_items=self.n_items)
        save_arrays(
            Path(folder) / TENSORS, {"user_vectors": self.user_vectors, "item_vectors": self.item_vectors}
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        read_header(folder, "embedding")
        arrays = load_arrays(Path(folder) / TENSORS)
        return cls(arrays["user_vectors"], arrays["item_vectors"])
