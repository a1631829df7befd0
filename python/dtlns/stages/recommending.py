"""Recommendation with a trained model: whose lists, which items, and what is left out of them.

Held-out pairs may be left out of the lists, for a recommender in use; nothing is learnt from them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns._border import word
from dtlns.artifacts import Artifact
from dtlns.data.dataset import Dataset
from dtlns.data.readers import read_table
from dtlns.data.readers.text import check_text
from dtlns.errors import DataError, InputError
from dtlns.models.base import Scorer
from dtlns.models.registry import load_scorer
from dtlns.ranking import Rows
from dtlns.recommendation import list_blocks, positions, shown_ids
from dtlns.stages.evaluation import validation_mask

SEEN = {
    "train": "training interactions",
    "train+valid": "training and validation interactions",
    "all": "all interactions, those of test too",
    "none": "nothing",
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists that a model can make, before they are made.

    Attributes:
        scorer: The model.
        data: Its data set.
        users: int64 [B], whose lists, by index.
        leave_out: Interactions whose items are not listed for their user.
        allowed: bool [I], the items that may be listed, or None for all.
        names: Names of the items in index order, or None.
        cold_users: How many of the users have no training interaction, and so no list.
    """

    scorer: Scorer
    data: Dataset
    users: NDArray[np.int64]
    leave_out: Sequence[Rows]
    allowed: NDArray[np.bool_] | None
    names: pl.Series | None
    cold_users: int

    @property
    def n_items(self) -> int:
        """How many items may be listed."""
        return self.scorer.n_items if self.allowed is None else int(self.allowed.sum())

    def blocks(self, k: int, device: str = "cpu") -> Iterator[pl.DataFrame]:
        """Make them, some users at a time; see `dtlns.recommendation.list_blocks`."""
        return list_blocks(
            self.scorer,
            self.data.train,
            self.users,
            k=k,
            leave_out=self.leave_out,
            allowed=self.allowed,
            names=self.names,
            device=device,
        )


def plan_lists(
    model: Artifact,
    data: Dataset,
    *,
    users: Sequence[str] | None = None,
    seen: str = "train",
    only_items: Sequence[str] | None = None,
    exclude_items: Sequence[str] = (),
    item_names: Path | None = None,
) -> Lists:
    """Turn a request in the source's own ids into one by index, and check all of it.

    Args:
        model: A model artefact.
        data: The data set that it was trained on.
        users: Whose lists; None for every user with a training interaction.
        seen: Which interactions count as seen and are left out; one of `SEEN`.
        only_items: The items that may be listed; None for the whole training catalogue.
        exclude_items: Items that may not.
        item_names: Table of item names, instead of those of the data set.

    Returns:
        What to list. Users without training interactions, and items that the model does not know, are left
        out with a warning.

    Raises:
        LeakageError: The model was trained on another training split.
        InputError: A user is not in the data set, or nobody or nothing is left.
        DataError: A file is unreadable, or there are no validation pairs to leave out.
    """
    train = data.train
    model.check_train(train.digest)
    leave_out = _seen(data, word("seen", seen, list(SEEN)))
    if users is None:
        rows = np.flatnonzero(train.user_counts)
        cold = data.n_users - len(rows)
    else:
        rows, cold = _users(data, pl.Series(users, dtype=pl.String).unique(maintain_order=True))
    return Lists(
        scorer=load_scorer(model.path),
        data=data,
        users=rows,
        leave_out=leave_out,
        allowed=_allowed(data, only_items, exclude_items),
        names=_names(data, item_names),
        cold_users=cold,
    )


def read_ids(path: Path) -> list[str]:
    """Read a text file with one id a line; blanks around an id and blank lines do not count.

    Raises:
        DataError: It is missing, empty or no text.
    """
    check_text(path)
    ids = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    ids = [name for name in ids if name]
    if not ids:
        raise DataError(f"{path} holds no ids", allowed="one id a line")
    return ids


def _seen(data: Dataset, seen: str) -> list[Rows]:
    if seen == "none":
        return []
    parts: list[Rows] = [data.train]
    if seen == "train+valid":
        parts += validation_mask(data, True).values()
    elif seen == "all":
        parts += [view for view in (data.valid, data.test) if view is not None]
    return parts


def _users(data: Dataset, wanted: pl.Series) -> tuple[NDArray[np.int64], int]:
    """Find users; those without training interactions fall away."""
    rows = positions(data.users["id"], wanted)
    unknown = wanted.filter(rows < 0)
    if len(unknown):
        raise InputError(
            f"users that {data.path} does not have, {len(unknown)} of {len(wanted)}: {shown_ids(unknown)}",
            allowed="the source's own user ids, one a line in a file without a header",
        )
    counts = np.zeros(data.n_users, np.int64)
    counts[: data.n_train_users] = data.train.user_counts
    cold = wanted.filter(counts[rows] == 0)
    if len(cold) == len(wanted):
        raise InputError(f"no user asked for has a training interaction: {shown_ids(cold)}")
    if len(cold):
        log.warning(
            "users without training interactions, %d of %d, get no list: %s",
            len(cold),
            len(wanted),
            shown_ids(cold),
        )
    return rows[counts[rows] > 0], len(cold)


def _allowed(data: Dataset, only: Sequence[str] | None, exclude: Sequence[str]) -> NDArray[np.bool_] | None:
    if only is None and not exclude:
        return None
    allowed = np.ones(data.n_train_items, np.bool_)
    if only is not None:
        allowed[:] = False
        allowed[_items(data, only, "allowed")] = True
    allowed[_items(data, exclude, "excluded")] = False
    if not allowed.any():
        raise InputError("no item is left to recommend")
    return allowed


def _items(data: Dataset, wanted: Sequence[str], what: str) -> NDArray[np.int64]:
    """Find items of the training catalogue; others fall away with a warning."""
    ids = pl.Series(wanted, dtype=pl.String).unique(maintain_order=True)
    rows = positions(data.items["id"].head(data.n_train_items), ids)
    unknown = ids.filter(rows < 0)
    if len(unknown):
        log.warning(
            "%s items that the model does not know, %d of %d: %s",
            what,
            len(unknown),
            len(ids),
            shown_ids(unknown),
        )
    return rows[rows >= 0]


def _names(data: Dataset, path: Path | None) -> pl.Series | None:
    if path is None:
        return data.items["name"] if "name" in data.items.columns else None
    table = read_table(path, "item")
    if "name" not in table.columns:
        raise DataError(
            f"{path} has no column that looks like the name",
            allowed=f"`name` or `title` beside the id; it has {', '.join(map(repr, table.columns[:20]))}",
        )
    rows = positions(table["id"], data.items["id"])
    missing = int((rows[: data.n_train_items] < 0).sum())
    if missing == data.n_train_items:
        raise DataError(f"{path}: none of its {table.height} ids is one of the items of {data.path}")
    if missing:
        log.warning("%s names %d of %d items", path, data.n_train_items - missing, data.n_train_items)
    padded = pl.concat([table["name"], pl.Series("name", [None], dtype=pl.String)])
    return padded.gather(np.where(rows < 0, table.height, rows))
