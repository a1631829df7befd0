"""Candidates: for every user, the unobserved items that a pretrained model scores highest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns import _core
from dtlns.artifacts import load_arrays, save_arrays
from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.models.base import Scorer

USERS_PER_BATCH = 1024


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidates of every user, best first.

    Attributes:
        items: int64 [U, M]; -1 where a user has fewer than M unobserved items.
        scores: float32 [U, M], the pretrained model's scores; -inf where there is no item.
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float32]

    @property
    def m(self) -> int:
        """Candidates per user, M."""
        return int(self.items.shape[1])

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (users, items), each int64 [N], of the candidates that exist, by user and rank."""
        users, ranks = np.nonzero(self.items >= 0)
        return users, self.items[users, ranks]

    def ranks(self) -> NDArray[np.int64]:
        """Return each pair's place among its user's candidates, int64 [N] from 0, in the order of `pairs`."""
        return np.nonzero(self.items >= 0)[1]

    def of_users(self, chosen: NDArray[np.bool_]) -> Candidates:
        """Return the candidates of some users; the others, where bool [U] is false, have none."""
        return Candidates(
            np.where(chosen[:, None], self.items, -1),
            np.where(chosen[:, None], self.scores, np.float32(-np.inf)),
        )

    def save(self, folder: Path) -> None:
        """Write `candidates.parquet` (user, item, rank, score) into an existing folder."""
        users, ranks = np.nonzero(self.items >= 0)
        frame = pl.DataFrame(
            {
                "user": users.astype(np.uint32),
                "item": self.items[users, ranks].astype(np.uint32),
                "rank": ranks.astype(np.uint16),
                "score": self.scores[users, ranks],
            }
        )
        frame.write_parquet(folder / "candidates.parquet", compression="zstd")

    @classmethod
    def load(cls, folder: Path, n_users: int, m: int) -> Candidates:
        """Read what `save` wrote."""
        frame = pl.read_parquet(folder / "candidates.parquet")
        items = np.full((n_users, m), -1, dtype=np.int64)
        scores = np.full((n_users, m), -np.inf, dtype=np.float32)
        at = frame["user"].to_numpy(), frame["rank"].to_numpy()
        items[at] = frame["item"].to_numpy()
        scores[at] = frame["score"].to_numpy()
        return cls(items, scores)


def make_candidates(scorer: Scorer, train: TrainView, m: int = 20) -> Candidates:
    """Take each user's M best unobserved items under a scorer (arXiv 2602.18249, section on FNI).

    Args:
        scorer: A model fitted on `train` and nothing else.
        train: The training view; its interactions are never candidates.
        m: Candidates per user, M.

    Returns:
        Candidates for all users of the view.

    Raises:
        InputError: `m` is not a positive number of items, or the scorer is of another size.
    """
    if not 1 <= m <= train.n_items:
        raise InputError(f"m = {m} candidates per user", allowed=f"1 to {train.n_items}, the number of items")
    if (scorer.n_users, scorer.n_items) != (train.n_users, train.n_items):
        raise InputError(
            f"the scorer knows {scorer.n_users} users and {scorer.n_items} items",
            allowed=f"{train.n_users} users and {train.n_items} items, as in the training view",
        )
    items = np.empty((train.n_users, m), dtype=np.int64)
    scores = np.empty((train.n_users, m), dtype=np.float32)
    for start in range(0, train.n_users, USERS_PER_BATCH):
        stop = min(start + USERS_PER_BATCH, train.n_users)
        offsets = train.indptr[start : stop + 1]
        items[start:stop], scores[start:stop] = _core.top_k(
            scorer.score(np.arange(start, stop, dtype=np.int64)),
            m,
            offsets - offsets[0],
            train.indices[offsets[0] : offsets[-1]],
        )
    return Candidates(items, scores)


def save_histories(folder: Path, train: TrainView) -> None:
    """Keep the interactions that the candidates were made from, so that the folder stands alone."""
    arrays: dict[str, NDArray[Any]] = {
        "indptr": train.indptr,
        "indices": train.indices,
        "n_items": np.array([train.n_items], dtype=np.int64),
    }
    optional: Mapping[str, NDArray[Any] | None] = {"timestamps": train.timestamps, "weights": train.weights}
    arrays.update({name: array for name, array in optional.items() if array is not None})
    save_arrays(folder / "histories.safetensors", arrays)


def load_histories(folder: Path) -> TrainView:
    """Read what `save_histories` wrote; original ids are not kept, so the digest differs."""
    arrays = load_arrays(folder / "histories.safetensors")
    return TrainView(
        indptr=arrays["indptr"],
        indices=arrays["indices"],
        n_items=int(arrays["n_items"][0]),
        timestamps=arrays.get("timestamps"),
        weights=arrays.get("weights"),
    )
