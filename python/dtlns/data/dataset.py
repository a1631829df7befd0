"""A data set folder, opened: the training view for everybody, held-out views for evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, open_artifact
from dtlns.data.store import FACTS, KIND
from dtlns.data.views import TestView, TrainView, ValidView
from dtlns.errors import ArtifactError

_NEEDED = ("name", "split", "notes", "train_users", "train_items", "tables")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified data set folder; tables are read when they are first asked for.

    Attributes:
        artifact: The folder and its manifest.
        facts: The content of `dataset.json`.
    """

    artifact: Artifact
    facts: dict[str, Any]

    @property
    def path(self) -> Path:
        """The folder."""
        return self.artifact.path

    @property
    def digest(self) -> str:
        """SHA-256 that names the whole content, held-out rows included."""
        return self.artifact.digest

    @property
    def name(self) -> str:
        """Name for people."""
        return str(self.facts["name"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was dropped, merged or assumed when it was made."""
        return tuple(self.facts["notes"])

    @property
    def split(self) -> dict[str, Any] | None:
        """How the split was made, or None when all interactions are training rows."""
        return self.facts["split"]  # type: ignore[no-any-return]

    @property
    def n_users(self) -> int:
        """Number of all users, cold ones included."""
        return int(self.facts["tables"]["users"]["rows"])

    @property
    def n_items(self) -> int:
        """Number of all items, cold ones included."""
        return int(self.facts["tables"]["items"]["rows"])

    @property
    def n_train_users(self) -> int:
        """Number of users in the training view; they are the first ones."""
        return int(self.facts["train_users"])

    @property
    def n_train_items(self) -> int:
        """Number of items in the training view; they are the first ones."""
        return int(self.facts["train_items"])

    @cached_property
    def users(self) -> pl.DataFrame:
        """Users in index order: `id`, and what else the source told."""
        return self._table("users")

    @cached_property
    def items(self) -> pl.DataFrame:
        """Items in index order: `id`, `name` where known, and what else the source told."""
        return self._table("items")

    @cached_property
    def train(self) -> TrainView:
        """The training interactions over warm users and items; held-out rows leave no trace in it."""
        table = self._table("train")
        users = table["user"].to_numpy()
        return TrainView(
            indptr=_offsets(users, self.n_train_users),
            indices=np.ascontiguousarray(table["item"].to_numpy()),
            n_items=self.n_train_items,
            timestamps=table["timestamp"].to_numpy() if "timestamp" in table.columns else None,
            weights=table["weight"].to_numpy() if "weight" in table.columns else None,
            user_ids=_ids(self.users["id"], self.n_train_users),
            item_ids=_ids(self.items["id"], self.n_train_items),
        )

    @cached_property
    def valid(self) -> ValidView | None:
        """Validation pairs, or None when there are none."""
        parts = self._held_out("valid")
        return None if parts is None else ValidView(*parts)

    @cached_property
    def test(self) -> TestView | None:
        """Test pairs, or None when there are none; read from disk only when asked for."""
        parts = self._held_out("test")
        return None if parts is None else TestView(*parts)

    def frame(self) -> pl.DataFrame:
        """Return all interactions with their own ids: `user`, `item`, `split`, and what else is known.

        For making new splits and for looking at; nothing that learns may use it.
        """
        parts = []
        for split in ("train", "valid", "test"):
            if split in self.facts["tables"]:
                table = self._table(split)
                parts.append(
                    table.with_columns(
                        user=self.users["id"].gather(table["user"]),
                        item=self.items["id"].gather(table["item"]),
                        split=pl.lit(split),
                    )
                )
        return pl.concat(parts, how="diagonal")

    def _held_out(self, split: str) -> tuple[NDArray[np.int64], NDArray[np.uint32], int] | None:
        if split not in self.facts["tables"]:
            return None
        table = self._table(split)
        offsets = _offsets(table["user"].to_numpy(), self.n_users)
        return offsets, np.ascontiguousarray(table["item"].to_numpy()), self.n_items

    def _table(self, name: str) -> pl.DataFrame:
        file = self.path / f"{name}.parquet"
        try:
            return pl.read_parquet(file, memory_map=False, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            first = (str(error).splitlines() or ["unreadable"])[0]
            raise ArtifactError(f"{file} cannot be read ({first})", hint="make the data set again") from error


def load_dataset(path: Path | str) -> Dataset:
    """Open a data set folder that `dtlns data` wrote, and verify it.

    Args:
        path: The folder.

    Returns:
        The data set; `.train` is the view that everything but evaluation works with.

    Raises:
        ArtifactError: The folder is missing, damaged or of another kind.

    Example:
        >>> load_dataset("movielens").train.n_interactions  # doctest: +SKIP
        31017
    """
    if Path(path).is_file():
        raise ArtifactError(
            f"{path} is a file",
            allowed="a data set folder",
            hint=f"make one of it: `dtlns data import {path} -o DATASET`",
        )
    artifact = open_artifact(Path(path), KIND)
    facts = _read_facts(artifact)
    return Dataset(artifact, facts)


def _read_facts(artifact: Artifact) -> dict[str, Any]:
    file = artifact.path / FACTS
    try:
        facts = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file} cannot be read ({error})", hint="make the data set again") from error
    missing = [key for key in _NEEDED if not isinstance(facts, dict) or key not in facts]
    if missing:
        raise ArtifactError(f"{file} lacks {missing[0]!r}", hint="make the data set again")
    return dict(facts)


def _offsets(users: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    counts = np.bincount(users, minlength=count)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _ids(column: pl.Series, count: int) -> NDArray[Any] | None:
    """Return the first ids, or None where they are 0..count-1 and so say nothing."""
    warm = column.head(count)
    if warm.dtype == pl.String:
        return np.array(warm.to_list(), dtype=object)
    ids: NDArray[Any] = warm.to_numpy()
    return None if np.array_equal(ids, np.arange(count)) else ids
