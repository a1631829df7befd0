"""Features of (user, candidate) pairs, in groups that can be switched.

The rebuilt pipeline, on which the model is fitted, sees shorter histories than the final one, to which it is
applied. So scores that grow with the history are taken relative to the user's own scores or history.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dtlns.candidates import USERS_PER_BATCH
from dtlns.data.views import TrainView
from dtlns.false_negative_model.sources import Sourced
from dtlns.judges.base import JudgeRequest
from dtlns.judges.prefix import PrefixJudge
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.trees import PathCodes, deepest_prefix

Group = Literal["user-item", "model", "graph", "trees"]
GROUPS: tuple[Group, ...] = get_args(Group)
Columns = dict[str, NDArray[np.floating]]

ROWS_PER_CHUNK = 1 << 17  # (pair, history item) rows whose vectors are in memory at once


@dataclass(frozen=True, eq=False)
class World:
    """What features are made of: everything is a function of one training view.

    Attributes:
        train: The histories.
        scorer: The model pretrained on them.
        graph: Item similarities from them.
        codes: Path codes [I] by view name; none without trees.
        sourced: The candidates.
    """

    train: TrainView
    scorer: EmbeddingScorer
    graph: ItemKNN
    codes: Mapping[str, PathCodes]
    sourced: Sourced


def make_features(world: World, groups: Collection[Group]) -> tuple[list[str], NDArray[np.float32]]:
    """Make the features of all candidate pairs.

    Args:
        world: The candidates and what they come from.
        groups: Names of groups; the order of the columns is always that of `GROUPS`.

    Returns:
        Names of the F columns, and float32 [N, F] in the order of `world.sourced.candidates.pairs()`.
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
        "log2_history": np.log2(1 + world.train.user_counts[users]),
        "log2_popularity": np.log2(1 + world.train.item_counts[items]),
    }


def model_features(world: World) -> Columns:
    """The model's score in standard deviations over the catalogue, its place, and cosines to the history."""
    users, items = world.sourced.candidates.pairs()
    score = np.empty(len(users))
    for batch, rows in _user_batches(world.train.n_users, users):
        scores = world.scorer.score(batch)
        spread = np.maximum(scores.std(axis=1), np.finfo(np.float32).tiny)
        standard = (scores - scores.mean(axis=1, keepdims=True)) / spread[:, None]
        score[rows] = standard[users[rows] - batch[0], items[rows]]
    mean, largest = _cosines(world, users, items)
    return {
        "model_score": score,
        "model_rank": world.sourced.model_rank.astype(np.float64),
        "model_mean_cosine": mean,
        "model_max_cosine": largest,
    }


def graph_features(world: World) -> Columns:
    """Co-occurrence with the history: mean, relative to the user's best; place; how many items have any."""
    users, items = world.sourced.candidates.pairs()
    score, neighbours = np.empty(len(users)), np.empty(len(users))
    linked = world.graph.similarity.copy()
    linked.data = np.ones_like(linked.data)
    for batch, rows in _user_batches(world.train.n_users, users):
        at = users[rows] - batch[0], items[rows]
        score[rows] = world.graph.score(batch)[at]
        neighbours[rows] = (world.graph.histories[batch] @ linked).toarray()[at]
    best = np.zeros(world.train.n_users)
    np.maximum.at(best, users, score)
    history = np.maximum(world.train.user_counts[users], 1)
    return {
        "graph_mean": score / history,
        "graph_relative": score / np.where(best > 0, best, 1)[users],
        "graph_rank": world.sourced.graph_rank.astype(np.float64),
        "graph_neighbours": neighbours,
    }


def tree_features(world: World) -> Columns:
    """How far the candidate's code reaches into the history, for each view.

    The deepest prefix, the same relative to the depth of the candidate's code, its surprise in bits
    (`judges.prefix`), how many items of the history share that prefix, and log2 of the items in the leaf.
    """
    train, candidates = world.train, world.sourced.candidates
    users, items = candidates.pairs()
    surprise = PrefixJudge().score(JudgeRequest(train, world.codes, candidates))
    exists = candidates.items >= 0
    everyone, padded = np.arange(train.n_users), np.where(exists, candidates.items, 0)
    columns: Columns = {}
    for at, (view, codes) in enumerate(world.codes.items()):
        depth = deepest_prefix(codes, train, everyone, padded)[exists].astype(np.int64)
        columns |= {
            f"{view}_prefix": depth.astype(np.float64),
            f"{view}_relative_prefix": depth / np.maximum(codes.depth[items], 1),
            f"{view}_surprise": surprise[:, at],
            f"{view}_sharing": _sharing(codes, train, users, items, depth),
            f"{view}_log2_leaf": np.log2(_leaf_sizes(codes))[items],
        }
    return columns


def _user_batches(n_users: int, users: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Yield users, int64 [B], and where their pairs are; `users` increases."""
    for start in range(0, n_users, USERS_PER_BATCH):
        stop = min(start + USERS_PER_BATCH, n_users)
        begin, end = np.searchsorted(users, [start, stop])
        yield np.arange(start, stop, dtype=np.int64), slice(int(begin), int(end))


def _cosines(
    world: World, users: NDArray[np.int64], items: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each pair's mean and largest cosine to the items of the history; zero where there are none."""
    vectors = world.scorer.item_vectors
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    train = world.train
    history = train.user_counts[users]
    ends = np.cumsum(history)
    mean, largest = np.zeros(len(users)), np.zeros(len(users))
    start = 0
    while start < len(users):
        before = ends[start] - history[start]
        stop = max(int(np.searchsorted(ends, before + ROWS_PER_CHUNK, side="right")), start + 1)
        count = history[start:stop]
        first = ends[start:stop] - count - before  # where each pair's rows begin
        pair = np.repeat(np.arange(stop - start), count)
        offset = np.arange(len(pair)) - first[pair]
        seen = train.indices[train.indptr[users[start:stop]][pair] + offset]
        cosine = np.einsum("nd,nd->n", unit[items[start:stop]][pair], unit[seen])
        any_ = count > 0
        if any_.any():
            mean[start:stop][any_] = np.add.reduceat(cosine, first[any_]) / count[any_]
            largest[start:stop][any_] = np.maximum.reduceat(cosine, first[any_])
        start = stop
    return mean, largest


def _sharing(
    codes: PathCodes,
    train: TrainView,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    depth: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Count the items of each history that share the candidate's first `depth` levels; all, at depth 0."""
    shared = train.user_counts[users].astype(np.float64)
    for t in range(1, codes.max_depth + 1):
        rows = np.flatnonzero(depth == t)
        if not rows.size:
            continue
        _, node = np.unique(codes.packed >> np.uint64(64 - t * codes.bits), return_inverse=True)
        deep = codes.depth[train.indices] >= t
        span = int(node.max()) + 1
        keys = train.user_of_interaction[deep].astype(np.int64) * span + node[train.indices[deep]]
        known, count = np.unique(keys, return_counts=True)
        shared[rows] = count[np.searchsorted(known, users[rows] * span + node[items[rows]])]
    return shared


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
}
