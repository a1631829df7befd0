"""Popularity and ItemKNN against counts and brute force, and back from their folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from dtlns.data.views import TrainView
from dtlns.errors import ArtifactError, ConfigError, InputError
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.models.popularity import Popularity
from dtlns.models.registry import build_model, load_scorer
from dtlns.training.settings import ModelConfig

DENSE = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]])


@pytest.fixture
def train() -> TrainView:
    return TrainView.from_csr(sp.csr_array(DENSE))


def cosine(shrinkage: float = 0.0) -> np.ndarray:
    n = DENSE.shape[1]
    similarity = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                both = int((DENSE[:, i] & DENSE[:, j]).sum())
                similarity[i, j] = both / (np.sqrt(DENSE[:, i].sum() * DENSE[:, j].sum()) + shrinkage)
    return similarity


def test_popularity_counts(train: TrainView) -> None:
    scores = Popularity.build(ModelConfig(), train).score(np.array([2, 0]))
    assert scores.tolist() == [[3.0, 3.0, 2.0, 1.0]] * 2
    assert scores.dtype == np.float32


@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
def test_itemknn_sums_similarities_of_the_history(train: TrainView, shrinkage: float) -> None:
    scores = ItemKNN.fit(train, shrinkage=shrinkage).score(np.arange(4))
    np.testing.assert_allclose(scores, DENSE @ cosine(shrinkage), rtol=1e-6)


def test_itemknn_keeps_the_nearest_of_each_history_item(train: TrainView) -> None:
    full = cosine()
    kept = np.zeros_like(full)
    for j in range(4):
        best = sorted(range(4), key=lambda i: (-full[j, i], i))[:1]
        kept[j, best] = full[j, best]
    scores = ItemKNN.fit(train, neighbours=1).score(np.arange(4))
    np.testing.assert_allclose(scores, DENSE @ kept, rtol=1e-6)


def test_an_item_without_users_scores_zero() -> None:
    train = TrainView.from_csr(sp.csr_array(np.array([[1, 1, 0], [1, 0, 0]])))
    assert ItemKNN.fit(train).score(np.arange(2))[:, 2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["popularity", "itemknn"])
def test_baselines_come_back_from_their_folder(train: TrainView, name: str, tmp_path: Path) -> None:
    scorer = build_model(ModelConfig(name=name), train)
    assert isinstance(scorer, Scorer)
    assert not isinstance(scorer, EmbeddingModel)
    scorer.save(tmp_path)
    loaded = load_scorer(tmp_path)
    assert type(loaded) is type(scorer)
    assert (loaded.n_users, loaded.n_items) == (4, 4)
    np.testing.assert_array_equal(loaded.score(np.arange(4)), scorer.score(np.arange(4)))


def test_embedding_scorer_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scorer = EmbeddingScorer(*(rng.random((n, 3)).astype(np.float32) for n in (4, 5)))
    scorer.save(tmp_path)
    np.testing.assert_array_equal(load_scorer(tmp_path).score(np.array([3])), scorer.score(np.array([3])))


def test_embedding_scorer_refuses_what_cannot_rank() -> None:
    with pytest.raises(InputError, match="do not fit"):
        EmbeddingScorer(np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32))
    with pytest.raises(InputError, match="not finite"):
        EmbeddingScorer(np.full((2, 3), np.nan, np.float32), np.zeros((2, 3), np.float32))


def test_unknown_names_are_listed(train: TrainView, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown model 'svd' · allowed: .*itemknn.*lightgcn.*mf.*popularity"
    ):
        build_model(ModelConfig(name="svd"), train)
    with pytest.raises(ArtifactError, match=r"scorer\.json cannot be read"):
        load_scorer(tmp_path)
