"""How deep candidates reach into users' histories."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtlns import _core
from dtlns._border import id_array
from dtlns.codes import PathCodes
from dtlns.data.views import TrainView


def deepest_prefix(
    codes: PathCodes, train: TrainView, users: ArrayLike, items: ArrayLike | None = None
) -> NDArray[np.int32]:
    """Tell how deep each candidate reaches into a user's history.

    The longest prefix that a candidate shares with any item of the history. Among codes sorted by (packed,
    depth) it is shared with one of the candidate's two neighbours, so that it costs O(log h).

    Args:
        codes: Path codes of at least the view's items.
        train: The training view; its rows are the histories.
        users: int [B].
        items: int [B, M], the candidates of each user; None for all items.

    Returns:
        int32 [B, M], 0 where nothing is shared or the history is empty. [B, I] without `items`.

    Raises:
        InputError: An id is out of range, or shapes do not fit.

    Example:
        >>> import scipy.sparse as sp
        >>> codes = PathCodes.from_paths([(0, 0), (0, 1), (1, 0)])
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 0]]))
        >>> deepest_prefix(codes, train, [0], [[1, 2]]).tolist()
        [[1, 0]]
    """
    return _core.deepest_prefix(
        codes.packed,
        codes.depth,
        codes.branching,
        train.indptr,
        train.indices,
        train.n_items,
        id_array("users", users, 1),
        None if items is None else id_array("items", items, 2),
    )
