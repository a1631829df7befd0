"""A model's best items for its users, as a table with the source's own ids.

The lists are those that `evaluation.protocol.evaluate` measures: the same scores, the same masked items, and
among equal scores the same order, the lower item index first. The last digit of a score may depend on how
many users are scored together, as matrix products round differently in other shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray

from dtlns._border import integer
from dtlns.data.views import HeldOutView, TrainView
from dtlns.errors import InputError
from dtlns.evaluation.protocol import union
from dtlns.models.base import Scorer, TensorScorer
from dtlns.ranking import Rows, top_k, top_k_tensor
from dtlns.training.device import resolve_device

_CELLS = 16_000_000  # scores held at a time, 64 MB
_SHOWN = 5  # ids that a message names


def recommend(
    scorer: Scorer,
    train: TrainView,
    *,
    k: int = 20,
    users: ArrayLike | pl.Series | None = None,
    leave_out: Sequence[Rows] | None = None,
    allowed: NDArray[np.bool_] | None = None,
    names: pl.Series | None = None,
    device: str = "cpu",
) -> pl.DataFrame:
    """List the best items of each user.

    Args:
        scorer: Scores items.
        train: The training interactions; their users and items have the ids of the table.
        k: Length of the lists. A user with fewer items left has a shorter one.
        users: Whose lists, by their own ids, each once; None for all users with a training interaction.
        leave_out: Interactions whose items are not listed for their user, such as
            `[data.train, data.valid]`; None for the training ones, `[]` for nothing.
        allowed: bool [I], the items that may be listed at all; None for the whole training catalogue.
        names: Names of the items in index order, such as `data.items["name"]`; they become a column.
        device: Where to rank: `cpu`, `cuda`, or `auto`.

    Returns:
        `user` and `item` (Int64 or String, the source's own ids; indexes where it has none), `rank` (UInt32,
        from 1), `score` (Float32), perhaps `name` (String); users in the order asked for, best items first.

    Raises:
        InputError: Sizes do not fit, a user is unknown, named twice or without training interactions, no item
            is allowed, or a score is NaN.
        ConfigError: The device is unknown or not there.

    Example:
        >>> from dtlns.models.popularity import Popularity
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 0, 1], [0, 1, 0, 1]]))
        >>> recommend(Popularity(train.item_counts, 2), train, k=2, users=[1]).rows()
        [(1, 1, 0, 1.0), (1, 2, 2, 0.0)]
    """
    ids = own_ids(train.user_ids, train.n_users)
    if users is None:
        rows = np.flatnonzero(train.user_counts)
    else:
        wanted = users if isinstance(users, pl.Series) else pl.Series(np.asarray(users).tolist())
        rows = positions(ids, wanted)
        _refuse("unknown", wanted.filter(rows < 0))
        _refuse("named twice", wanted.filter(wanted.is_duplicated()))
        _refuse("without training interactions", wanted.filter(train.user_counts[rows] == 0))
    blocks = list_blocks(
        scorer, train, rows, k=k, leave_out=leave_out, allowed=allowed, names=names, device=device
    )
    return pl.concat(blocks)


def list_blocks(
    scorer: Scorer,
    train: TrainView,
    users: NDArray[np.int64],
    *,
    k: int = 20,
    leave_out: Sequence[Rows] | None = None,
    allowed: NDArray[np.bool_] | None = None,
    names: pl.Series | None = None,
    device: str = "cpu",
) -> Iterator[pl.DataFrame]:
    """List the best items as `recommend` does, some users at a time: 64 MB of scores, however many there are.

    Args:
        scorer: Scores items.
        train: The training interactions.
        users: int64 [B], whose lists, by their indexes.
        k: Length of the lists.
        leave_out: Interactions whose items are not listed for their user; None for the training ones.
        allowed: bool [I], the items that may be listed at all; None for all.
        names: Names of the items in index order.
        device: Where to rank.

    Returns:
        The table of `recommend` in parts, at least one; a user's list is in one of them.

    Raises:
        InputError: Sizes do not fit, no item is allowed, or a score is NaN.
        ConfigError: The device is unknown or not there.
    """
    if (scorer.n_users, scorer.n_items) != (train.n_users, train.n_items):
        raise InputError(
            f"the scorer knows {scorer.n_users} users and {scorer.n_items} items",
            allowed=f"those of the training data, {train.n_users} and {train.n_items}",
        )
    if names is not None and len(names) < train.n_items:
        raise InputError(f"there are {len(names)} names", allowed=f"one for each of {train.n_items} items")
    k = min(integer("k", k, 1, 2**31 - 1), train.n_items)
    where = resolve_device(device)
    seen: Rows = train if leave_out is None else union(leave_out, train)
    kept = None if allowed is None else _kept(allowed, train.n_items)
    if kept is not None:
        seen = _columns(seen, kept, train.n_users)
    item_ids = own_ids(train.item_ids, train.n_items)
    user_ids = own_ids(train.user_ids, train.n_users)
    size = max(1, _CELLS // train.n_items)

    def block(some: NDArray[np.int64]) -> pl.DataFrame:
        items, scores = _rank(scorer, some, k, kept, seen, where)
        there = items >= 0
        listed = (items if kept is None else kept[items])[there]
        columns = {
            "user": user_ids.gather(np.repeat(some, there.sum(axis=1))),
            "rank": np.nonzero(there)[1].astype(np.uint32) + np.uint32(1),
            "item": item_ids.gather(listed),
            "score": scores[there],
        }
        return pl.DataFrame(columns | ({} if names is None else {"name": names.gather(listed)}))

    return (block(users[first : first + size]) for first in range(0, max(1, len(users)), size))


def own_ids(ids: NDArray[np.generic] | None, count: int) -> pl.Series:
    """Return a view's ids of users or items in index order; the indexes where it has none.

    Args:
        ids: `TrainView.user_ids` or `item_ids`.
        count: How many there are.

    Returns:
        Int64 or String.
    """
    return pl.Series("id", np.arange(count) if ids is None else ids.tolist())


def positions(ids: pl.Series, wanted: pl.Series) -> NDArray[np.int64]:
    """Find ids, integers or their text: int64 of the length of `wanted`, -1 for one that is not there.

    Args:
        ids: Different ids in index order.
        wanted: Ids to find.

    Example:
        >>> positions(pl.Series([10, 20, 30]), pl.Series(["30", "7", "10"])).tolist()
        [2, -1, 0]
    """
    index = pl.DataFrame({"id": ids.cast(pl.String)}).with_row_index("index")
    asked = pl.DataFrame({"id": wanted.cast(pl.String)})
    found = asked.join(index, on="id", how="left", maintain_order="left")["index"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def shown_ids(ids: pl.Series) -> str:
    """Write the first few ids for a message."""
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(repr(value) for value in ids.head(_SHOWN)) + more


def _refuse(what: str, users: pl.Series) -> None:
    if len(users):
        raise InputError(f"users that are {what}: {shown_ids(users.unique(maintain_order=True))}")


def _kept(allowed: NDArray[np.bool_], n_items: int) -> NDArray[np.int64]:
    if allowed.shape != (n_items,) or allowed.dtype != np.bool_:
        raise InputError(
            f"allowed has shape {allowed.shape} and dtype {allowed.dtype}", allowed=f"bool [{n_items}]"
        )
    if not allowed.any():
        raise InputError("no item may be listed", allowed="at least one")
    return np.flatnonzero(allowed)


def _columns(rows: Rows, kept: NDArray[np.int64], n_users: int) -> HeldOutView:
    """Take the columns of some items, which are numbered anew."""
    ones = np.ones(len(rows.indices), np.bool_)
    shape = (n_users, rows.n_items)
    taken = sp.csr_array((ones, rows.indices.astype(np.int64), rows.indptr), shape=shape)[:, kept]
    taken.sort_indices()
    return HeldOutView(taken.indptr.astype(np.int64), taken.indices.astype(np.uint32), len(kept))


def _rank(
    scorer: Scorer,
    users: NDArray[np.int64],
    k: int,
    kept: NDArray[np.int64] | None,
    seen: Rows,
    device: torch.device,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best of the kept items by their place there, [B, k], -1 where none is left; their scores."""
    if device.type == "cpu":
        scores = scorer.score(users)
        return top_k(scores if kept is None else np.take(scores, kept, axis=1), k, mask=seen, users=users)
    if isinstance(scorer, TensorScorer):
        there = scorer.score_tensor(torch.from_numpy(users).to(device))
    else:
        there = torch.from_numpy(scorer.score(users)).to(device)
    if kept is not None:
        there = there[:, torch.from_numpy(kept).to(device)]
    items = top_k_tensor(there, k, mask=seen, users=users)
    best = there.gather(1, items.clamp(min=0))
    return items.cpu().numpy(), best.cpu().numpy()
