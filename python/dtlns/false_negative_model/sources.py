"""Candidates from several sources: what one of them overlooks, another may know.

The pretrained model and the item graph (ItemKNN: co-occurrence with the items of the history) each give their
best unobserved items, and a user's candidates are the items of either list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtlns.candidates import Candidates, make_candidates
from dtlns.data.views import TrainView
from dtlns.models.base import Scorer
from dtlns.models.itemknn import ItemKNN

PER_SOURCE = 30


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
    lists = [make_candidates(source, train, per_source) for source in (scorer, graph)]
    lists[1].items[lists[1].scores <= 0] = -1
    users = np.concatenate([found.pairs()[0] for found in lists])
    items = np.concatenate([found.pairs()[1] for found in lists])
    places = np.concatenate([found.ranks() for found in lists])
    from_graph = np.arange(len(users)) >= np.count_nonzero(lists[0].items >= 0)

    keys, pair = np.unique(users * train.n_items + items, return_inverse=True)
    ranks = np.full((2, len(keys)), per_source, dtype=np.int64)
    ranks[from_graph.astype(np.int64), pair] = places
    users, items = np.divmod(keys, train.n_items)
    best = ranks.min(axis=0)
    order = np.lexsort((ranks[0], best, users))
    users, items, best = users[order], items[order], best[order]
    place = np.arange(len(users)) - np.searchsorted(users, users)
    shape = (train.n_users, 2 * per_source)
    table = np.full(shape, -1, dtype=np.int64)
    table[users, place] = items
    scores = np.full(shape, -np.inf, dtype=np.float32)
    scores[users, place] = -best
    return Sourced(Candidates(table, scores), ranks[0, order], ranks[1, order])
