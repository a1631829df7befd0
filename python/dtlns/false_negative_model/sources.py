"""Candidates from several sources: what one of them overlooks, another may know.

The pretrained model and the item graph (ItemKNN: co-occurrence with the items of the history) each give their
best unobserved items, and a user's candidates are the items of either list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtlns import _core
from dtlns.candidates import Candidates, make_candidates
from dtlns.data.views import TrainView
from dtlns.judges.hiding import is_member
from dtlns.models.base import Scorer
from dtlns.models.itemknn import ItemKNN

PER_SOURCE = 30
SHRINKAGES = (0.0, 5.0, 20.0, 100.0)  # users; from none to far more than most pairs of items share
USERS_PER_BLOCK = 4096

Links = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Sourced:
    """The candidates of all sources together.

    Attributes:
        candidates: Every user's candidates by their best place in any source, ties to the model; [U, 2 M].
            The scores are minus these places.
        model_rank: int64 [N], each pair's place in the model's list from 0; M where it is not in it.
        graph_rank: int64 [N], the same for the graph's list.
    """

    candidates: Candidates
    model_rank: NDArray[np.int64]
    graph_rank: NDArray[np.int64]


def find_candidates(
    scorer: Scorer, graph: ItemKNN, train: TrainView, per_source: int = PER_SOURCE
) -> Sourced:
    """Take each user's best unobserved items of either source.

    Args:
        scorer: The pretrained model.
        graph: Similarities of the same training view; an item without any to the history is no candidate.
        train: The training view; its interactions are never candidates.
        per_source: Items from each source, M.

    Example:
        >>> import scipy.sparse as sp
        >>> from dtlns.models.embedding import EmbeddingScorer
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 0, 0], [1, 1, 0, 0]]))
        >>> scorer = EmbeddingScorer(np.ones((2, 1), np.float32), np.float32([[0], [1], [2], [3]]))
        >>> found = find_candidates(scorer, ItemKNN.fit(train), train, per_source=1)
        >>> found.candidates.items.tolist()
        [[3, 1], [3, -1]]
    """
    per_source = min(per_source, train.n_items)
    by_model = make_candidates(scorer, train, per_source).items
    by_graph, _ = _core.best_linked(links(graph), train.indptr, train.indices, train.n_items, per_source)
    blocks = [
        _join([by_model[start : start + USERS_PER_BLOCK], by_graph[start : start + USERS_PER_BLOCK]])
        for start in range(0, train.n_users, USERS_PER_BLOCK)
    ]
    items, scores = (np.concatenate([block[at] for block in blocks]) for at in (0, 1))
    ranks = np.concatenate([block[2] for block in blocks], axis=1)
    return Sourced(Candidates(items, scores), ranks[0], ranks[1])


def choose_shrinkage(visible: TrainView, held: TrainView) -> float:
    """Choose the shrinkage of the item graph by the hidden positives among its candidates.

    Args:
        visible: The histories without the hidden positives.
        held: The hidden positives.

    Returns:
        That of `SHRINKAGES` whose 20 best items of each user hold the most of them; of equals, the first.
    """

    def found(shrinkage: float) -> int:
        graph = ItemKNN.fit(visible, shrinkage=shrinkage)
        m = min(20, visible.n_items)
        items, _ = _core.best_linked(links(graph), visible.indptr, visible.indices, visible.n_items, m)
        users = np.repeat(np.arange(visible.n_users), m)
        return int(is_member(held.indptr, held.indices, users, items.reshape(-1)).sum())

    return max(SHRINKAGES, key=found)


def links(graph: ItemKNN) -> Links:
    """Return the similarities as the core takes them: offsets, neighbours, weights."""
    matrix = graph.similarity
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32), matrix.data


def _join(
    lists: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Join S lists [B, M] of the same users into one without repetitions, by best place.

    Returns:
        Items int64 [B, S M], -1 at the end; minus their best places, float32; and their places in each list,
        int64 [S, N], M where they are not in it.
    """
    n_lists, (n_users, length) = len(lists), lists[0].shape
    # One of each list in turn; an item belongs where it is first, at its home.
    turns = np.stack(lists, axis=2).reshape(n_users, n_lists * length)
    order = np.argsort(turns, axis=1, kind="stable")
    ordered = np.take_along_axis(turns, order, axis=1)
    new = np.ones_like(ordered, dtype=np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    begin = np.maximum.accumulate(np.where(new, np.arange(turns.shape[1]), 0), axis=1)
    home = np.take_along_axis(order, begin, axis=1)
    row, at = np.nonzero(ordered >= 0)
    place, source = np.divmod(order[row, at], n_lists)
    ranks = np.full((n_lists, *turns.shape), length, dtype=np.int64)
    ranks[source, row, home[row, at]] = place

    best = ranks.min(axis=0)
    kept = best < length
    row, column = np.nonzero(kept)
    column = (np.cumsum(kept, axis=1) - 1)[kept]
    items = np.full_like(turns, -1)
    items[row, column] = turns[kept]
    scores = np.full(turns.shape, -np.inf, dtype=np.float32)
    scores[row, column] = -best[kept]
    return items, scores, ranks[:, kept]
