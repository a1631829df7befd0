"""EASE: every item predicted from all others by one ridge regression each, in closed form."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dtlns._border import real
from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.models.storage import load_matrices, save_matrices
from dtlns.training.settings import ModelConfig

MAX_ITEMS = 45_000  # a matrix of 8.1 GB, and twenty minutes for its inverse on one core
ITEMS_PER_BLOCK = 1024
USERS_PER_L2 = 50
ALONE = 20_000  # from this size on one thread inverts: OpenBLAS's two were seen to crash at 30,000 doubles


class EASE:
    """Scores by X B, where B minimises ‖X − X B‖² + l2 ‖B‖² with a zero diagonal.

    With P = (XᵀX + l2 · I)⁻¹: B_ij = −P_ij / P_jj off the diagonal, 0 on it. P takes I³ floating
    point operations and one matrix of 4 I² bytes, 285 MB for 8,439 items and 8.1 GB at the bound of 45,000;
    B takes its place, and as much on disk. Where there are fewer users than items, the inverse is that of
    XXᵀ + l2 · I, of U³ operations and 4 U² bytes more: by Woodbury's identity, P = (I − M) / l2 with
    M = Xᵀ (XXᵀ + l2 · I)⁻¹ X, and so B_ij = M_ij / (1 − M_jj). That difference is about l2 / (l2 + n) for an
    item of n users, and loses digits where n is large: the inverse of items is taken where an item has more
    than 50 l2 users. Single precision is enough: on Amazon-sports with l2 = 100, B differs by at most 5e-7
    from the one made in double precision.

    Source: Steck, Embarrassingly shallow autoencoders for sparse data (WWW 2019), equations 5 to 8.

    Args:
        weights: float32 [I, I], B; column j predicts item j.
        histories: float32 CSR [U, I], the training interactions, X.

    Example:
        >>> train = TrainView.from_csr(sp.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))
        >>> EASE.fit(train, l2=2.0).score(np.array([0])).tolist()  # 2 / (2 + 2) from each to the other
        [[0.5, 0.5, 0.0]]
    """

    option_names = ("l2",)
    seeded: ClassVar[bool] = False  # nothing in it is random
    # the paper takes 200 to 1,000 where items have hundreds of interactions; sparser logs want less
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "l2": (10.0, 30.0, 100.0, 200.0, 500.0, 1000.0),
    }

    def __init__(self, weights: NDArray[np.float32], histories: sp.csr_array) -> None:
        self.weights = weights
        self.histories = histories

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int = 0) -> Self:
        """Compute the weights; nothing in it is random."""
        return cls.fit(train, **config.options)

    @classmethod
    def fit(cls, train: TrainView, *, l2: float = 200.0) -> Self:
        """Compute the weights.

        Args:
            train: The training interactions.
            l2: Weight of the penalty, in users; above 0.

        Raises:
            InputError: `l2` is no positive number, or too small to invert; or there are too many items.
        """
        l2 = real("l2", l2, 0.0, above=True)
        if train.n_items > MAX_ITEMS:
            raise InputError(
                f"EASE on {train.n_items} items needs a matrix of {4e-9 * train.n_items**2:.1f} GB",
                allowed=f"at most {MAX_ITEMS} items",
                hint="take itemknn or gfcf, or drop rare items by --k-core-items when importing",
            )
        matrix = train.csr()
        fewer = train.n_users < train.n_items
        precise = train.item_counts.max(initial=0) <= USERS_PER_L2 * l2
        weights = _by_users(matrix, l2) if fewer and precise else _by_items(matrix, l2)
        np.fill_diagonal(weights, 0.0)
        return cls(weights, matrix)

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return int(self.histories.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return int(self.histories.shape[1])

    def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every item for some users: int64 [B] -> float32 [B, I]."""
        scores: NDArray[np.float32] = self.histories[users] @ self.weights
        return scores

    def save(self, folder: Path) -> None:
        """Write `scorer.json` and `scorer.safetensors` into an existing folder."""
        save_matrices(folder, "ease", weights=self.weights, histories=self.histories)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_matrices(folder, "ease"))


def _by_items(matrix: sp.csr_array, l2: float) -> NDArray[np.float32]:
    """Return −P_ij / P_jj."""
    inverse = _inverse((matrix.T @ matrix).toarray(), l2)
    weights = inverse.T  # the same numbers, in the order in memory that sparse products read
    weights /= -weights.diagonal().copy()
    return weights


def _by_users(matrix: sp.csr_array, l2: float) -> NDArray[np.float32]:
    """Return M_ij / (1 − M_jj)."""
    inverse = _inverse((matrix @ matrix.T).toarray(), l2)
    transposed = matrix.T.tocsr()
    weights = np.empty((matrix.shape[1], matrix.shape[1]), dtype=np.float32)
    for start in range(0, len(weights), ITEMS_PER_BLOCK):
        block = slice(start, start + ITEMS_PER_BLOCK)
        part = transposed @ np.ascontiguousarray((transposed[block] @ inverse).T)  # columns of M
        weights[block] = part.T  # its rows as well: M is symmetric
    weights /= 1 - weights.diagonal()
    return weights


def _inverse(gram: NDArray[np.float32], l2: float) -> NDArray[np.float32]:
    """Invert gram + l2 · I in its own memory."""
    gram[np.diag_indices_from(gram)] += np.float32(l2)
    threads = 1 if len(gram) >= ALONE else None
    try:
        with warnings.catch_warnings(), threadpool_limits(threads, user_api="blas"):
            warnings.simplefilter("error", scipy.linalg.LinAlgWarning)  # not a digit would be right
            inverse: NDArray[np.float32] = scipy.linalg.inv(
                gram, overwrite_a=True, check_finite=False, assume_a="pos"
            )
    except (scipy.linalg.LinAlgError, scipy.linalg.LinAlgWarning) as error:
        raise InputError(
            f"with l2 {l2:g} the matrix has no inverse in single precision", hint="take a larger l2"
        ) from error
    return inverse
