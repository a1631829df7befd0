"""The best items of each row of scores."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtlns import _core
from dtlns._border import aligned, id_array, integer
from dtlns.errors import InputError


class Rows(Protocol):
    """Users by items as sorted rows: a training or held-out view."""

    @property
    def indptr(self) -> NDArray[np.int64]:
        """int64 [U + 1], where rows start."""

    @property
    def indices(self) -> NDArray[np.uint32]:
        """uint32 [E], strictly increasing within a row."""

    @property
    def n_items(self) -> int:
        """Number of items, I."""


def top_k(
    scores: NDArray[np.float32], k: int, *, mask: Rows | None = None, users: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rank the items of each row of scores, without those that the row's user has in `mask`.

    Args:
        scores: float32 [B, I].
        k: Length of the lists.
        mask: Users by items that are left out, such as the training view.
        users: int [B], the row of `mask` that belongs to each row of scores; needed with `mask`.

    Returns:
        Item ids, int64 [B, k], best first, the lower id first among equal scores; and their scores,
        float32 [B, k]. Where fewer than k items are left: id -1 and score -inf.

    Raises:
        InputError: A score is NaN, or shapes do not fit.

    Example:
        >>> ids, best = top_k(np.array([[1.0, 3.0, 3.0]], dtype=np.float32), 2)
        >>> ids.tolist()
        [[1, 2]]
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.dtype != np.float32:
        raise InputError(
            f"scores have shape {scores.shape} and dtype {scores.dtype}", allowed="float32 [users, items]"
        )
    scores, k = aligned(scores), integer("k", k, 0, 2**31 - 1)
    if (mask is None) != (users is None):
        given = "users without a mask" if mask is None else "a mask without users"
        raise InputError(given, allowed="mask and users together")
    if mask is None or users is None:
        return _core.top_k(scores, k)
    ids = id_array("users", users, 1)
    return _core.top_k(scores, k, mask.indptr, mask.indices, mask.n_items, ids)
