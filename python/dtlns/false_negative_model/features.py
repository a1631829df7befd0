"""Features of (user, candidate) pairs, in groups that can be switched.

The rebuilt pipeline, on which the model is fitted, sees shorter histories than the final one, to which it is
applied. So scores that grow with the history are taken relative to the user's own scores or history.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dtlns import _core
from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.false_negative_model.sources import USERS_PER_BLOCK, Sourced, links
from dtlns.judges.prefix import history_coverage
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.trees import PathCodes

Group = Literal["user-item", "model", "graph", "trees", "judge"]
GROUPS: tuple[Group, ...] = get_args(Group)
Columns = dict[str, NDArray[np.floating]]

LEAST = 1e-6  # chances are kept so far from 0 and 1


@dataclass(frozen=True, eq=False)
class Judged:
    """What a judge says of some pairs.

    Attributes:
        users: int64 [J].
        items: int64 [J].
        chance: float32 [J].
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    chance: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class World:
    """What features are made of: everything is a function of one training view.

    Attributes:
        train: The histories.
        scorer: The model pretrained on them.
        graph: Item similarities from them.
        codes: Path codes [I] by view name; none without trees.
        sourced: The candidates.
        judged: Chances from a judge who was asked about some of them.
    """

    train: TrainView
    scorer: EmbeddingScorer
    graph: ItemKNN
    codes: Mapping[str, PathCodes]
    sourced: Sourced
    judged: Judged | None = None

    @property
    def histories(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], int]:
        """The histories as the core takes them."""
        return self.train.indptr, self.train.indices, self.train.n_items

    @property
    def table(self) -> NDArray[np.int64]:
        """The candidates, int64 [U, M], -1 where there is none."""
        return self.sourced.candidates.items


def make_features(world: World, groups: Collection[Group]) -> tuple[list[str], NDArray[np.float32]]:
    """Make the features of all candidate pairs.

    Args:
        world: The candidates and what they come from.
        groups: Names of groups; the order of the columns is always that of `GROUPS`.

    Returns:
        Names of the F columns, and float32 [N, F] in the order of `world.sourced.candidates.pairs()`. NaN
        where a judge was not asked.
    """
    columns: Columns = {}
    for name in GROUPS:
        if name in groups:
            columns |= _MAKERS[name](world)
    return list(columns), np.stack(list(columns.values()), axis=1, dtype=np.float32)


def user_item_features(world: World) -> Columns:
    """How active the user is, and how popular the item: log2(1 + interactions)."""
    users, items = world.sourced.candidates.pairs()
    return {
        "log2_history": np.log2(1 + world.train.user_counts)[users],
        "log2_popularity": np.log2(1 + world.train.item_counts)[items],
    }


def model_features(world: World) -> Columns:
    """The model's score in standard deviations over the catalogue, its place, and cosines to the history.

    Mean and variance of ⟨u, v⟩ over all items v are ⟨u, mean v⟩ and uᵀ Cov(v) u: no score but those of the
    candidates is computed.
    """
    vectors, table = world.scorer.item_vectors, world.table
    exists = table >= 0
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred / len(vectors)
    away = centred.astype(np.float32)
    score = np.empty(table.shape, dtype=np.float32)
    for start in range(0, len(table), USERS_PER_BLOCK):
        block = slice(start, start + USERS_PER_BLOCK)
        own = world.scorer.user_vectors[block]
        above = (away[table[block]] @ own[:, :, None])[:, :, 0]
        variance = np.einsum("ud,ud->u", own @ covariance, own)
        spread = np.sqrt(np.maximum(variance, np.finfo(np.float32).tiny))
        score[block] = above / spread[:, None]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    cosines = _core.history_dots(unit, *world.histories, table)
    return {
        "model_score": score[exists],
        "model_rank": world.sourced.model_rank.astype(np.float32),
        "model_mean_cosine": cosines[exists, 0],
        "model_max_cosine": cosines[exists, 1],
    }


def graph_features(world: World) -> Columns:
    """Similarity to the history: mean, relative to the user's best, largest; place; share that has any."""
    exists = world.table >= 0
    found = _core.history_links(links(world.graph), *world.histories, world.table)
    total, count, largest = (found[..., at] for at in range(3))
    best = np.maximum(total.max(axis=1, initial=0, keepdims=True), np.finfo(np.float32).tiny)
    history = np.maximum(world.train.user_counts, 1).astype(np.float32)[:, None]
    return {
        "graph_mean": (total / history)[exists],
        "graph_relative": (total / best)[exists],
        "graph_largest": largest[exists],
        "graph_rank": world.sourced.graph_rank.astype(np.float32),
        "graph_neighbours": (count / history)[exists],
    }


def tree_features(world: World) -> Columns:
    """How far the candidate's code reaches into the history, for each view.

    The deepest prefix, the same relative to the depth of the candidate's code, its surprise in bits
    (`judges.prefix`), the share of the history that has that prefix, and log2 of the items in the leaf.
    """
    exists = world.table >= 0
    users, items = world.sourced.candidates.pairs()
    history = np.maximum(world.train.user_counts, 1)[users]
    columns: Columns = {}
    for view, codes in world.codes.items():
        found = _core.prefix_sharing(
            codes.packed, codes.depth, codes.branching, *world.histories, world.table
        )[exists]
        depth, sharing = found[:, 0], found[:, 1]
        bits = -np.log2(history_coverage(codes, world.train))
        columns |= {
            f"{view}_prefix": depth,
            f"{view}_relative_prefix": depth / np.maximum(codes.depth, 1)[items],
            f"{view}_surprise": bits[users, depth.astype(np.int64)],
            f"{view}_sharing": sharing / history,
            f"{view}_log2_leaf": np.log2(_leaf_sizes(codes))[items],
        }
    return columns


def judge_features(world: World) -> Columns:
    """The log-odds of the judge's chance; NaN where the judge was not asked."""
    if world.judged is None:
        raise InputError("the features of a judge need its chances", hint="leave out the group judge")
    users, items = world.sourced.candidates.pairs()
    asked = world.judged.users * world.train.n_items + world.judged.items
    order = np.argsort(asked)
    wanted = users * world.train.n_items + items
    logit = np.full(len(wanted), np.nan, dtype=np.float32)
    if len(asked):
        place = order[np.minimum(np.searchsorted(asked, wanted, sorter=order), len(asked) - 1)]
        known = asked[place] == wanted
        chance = np.clip(world.judged.chance[place[known]].astype(np.float64), LEAST, 1 - LEAST)
        logit[known] = np.log(chance / (1 - chance))
    return {"judge_logit": logit}


def _leaf_sizes(codes: PathCodes) -> NDArray[np.int64]:
    """Return how many items have the code of each item, int64 [I]."""
    both = np.stack([codes.packed, codes.depth.astype(np.uint64)], axis=1)
    _, leaf, size = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    return size[leaf.reshape(-1)]


_MAKERS: dict[Group, Callable[[World], Columns]] = {
    "user-item": user_item_features,
    "model": model_features,
    "graph": graph_features,
    "trees": tree_features,
    "judge": judge_features,
}
