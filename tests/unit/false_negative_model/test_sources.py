"""The item graph of the false-negative model: its shrinkage is chosen by hidden positives."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dtlns.data.views import TrainView
from dtlns.false_negative_model.sources import SHRINKAGES, choose_shrinkage
from dtlns.judges.hiding import hide_positives
from dtlns.models.itemknn import ItemKNN


def blocks(noise: float) -> TrainView:
    """Users of four tastes with popular items, and rare items that single users have beside them."""
    rng = np.random.default_rng(3)
    rows = np.zeros((200, 400), dtype=np.float32)
    for user in range(200):
        taste = user % 4
        rows[user, 25 * taste + rng.choice(25, 8, replace=False)] = 1
        rows[user, 100 + rng.choice(300, 4, replace=False)] = rng.random(4) < noise
    return TrainView.from_csr(sp.csr_array(rows))


def naive_hits(shrinkage: float, visible: TrainView, held: TrainView) -> int:
    scores = ItemKNN.fit(visible, shrinkage=shrinkage).score(np.arange(visible.n_users))
    scores[visible.csr().toarray() > 0] = -np.inf
    hits = 0
    for user, row in enumerate(scores):
        best = np.lexsort((np.arange(len(row)), -row))[:20]
        hits += len(set(best[row[best] > 0]) & set(held.indices[held.indptr[user] : held.indptr[user + 1]]))
    return hits


def test_the_shrinkage_that_finds_most_hidden_positives_is_chosen() -> None:
    train = blocks(noise=1.0)
    hidden = hide_positives(train, 0.2)
    visible, held = train.keep(~hidden), train.keep(hidden)
    hits = [naive_hits(shrinkage, visible, held) for shrinkage in SHRINKAGES]
    assert max(hits) > hits[0]  # single co-occurrences of rare items mislead without any
    assert choose_shrinkage(visible, held) == SHRINKAGES[int(np.argmax(hits))]
