"""False negatives that are there by chance, and training that goes on from a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.false_negatives import FalseNegatives
from dtlns.training.pairs import Pairs
from dtlns.training.result import TrainedModel
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.trainer import train as fit


def world() -> TrainView:
    rng = np.random.default_rng(0)
    return TrainView.from_csr(sp.csr_array((rng.random((40, 30)) < 0.2).astype(np.float32)))


def settings(**changes: object) -> TrainConfig:
    base = TrainConfig(
        model=ModelConfig(name="mf", dimensions=4),
        sampler=SamplerConfig(name="uniform"),
        epochs=3,
        batch_size=64,
    )
    return TrainConfig.model_validate(base.model_dump() | changes)


def some_pairs(train: TrainView, chance: float) -> FalseNegatives:
    users, items = np.nonzero(train.csr().toarray() == 0)
    weights = np.full(len(users), chance, dtype=np.float32)
    return FalseNegatives.from_pairs(
        users[::2], items[::2], weights[::2], n_users=train.n_users, n_items=train.n_items
    )


def test_a_sampled_pair_is_there_as_often_as_its_weight_says() -> None:
    train = world()
    judged = some_pairs(train, 0.3)
    pairs = Pairs.build(train, settings(false_negatives="sampled"), judged)
    assert pairs.weights is None
    times = np.zeros(len(pairs))
    for epoch in range(1, 301):
        order = pairs.order(7, epoch)
        assert len(np.unique(order)) == len(order)
        times[order] += 1
    assert (times[: train.n_interactions] == 300).all()
    added = times[train.n_interactions :]
    # a share of 0.3 over 300 epochs: 90 ± 7.9 each; their mean over the pairs is far narrower
    assert abs(added.mean() - 90) < 5 * 7.94 / np.sqrt(len(added))
    assert added.std() == pytest.approx(7.94, rel=0.15)


def test_an_observed_pair_is_there_as_often_as_it_is_told() -> None:
    train = world()
    pairs = Pairs.build(train, settings(false_negatives="sampled", observed=0.25), some_pairs(train, 1.0))
    times = np.zeros(len(pairs))
    for epoch in range(1, 301):
        times[pairs.order(7, epoch)] += 1
    assert (times[train.n_interactions :] == 300).all()
    own = times[: train.n_interactions]
    # a share of 0.25 over 300 epochs: 75 ± 7.5 each
    assert abs(own.mean() - 75) < 5 * 7.5 / np.sqrt(len(own))
    assert own.std() == pytest.approx(7.5, rel=0.15)


def test_a_share_of_the_observed_pairs_needs_the_use_sampled() -> None:
    with pytest.raises(
        ValueError,
        match=r"observed = 0\.25 needs false_negatives = 'sampled' \(--use sampled\), not 'weighted'",
    ):
        settings(false_negatives="weighted", observed=0.25)


def test_an_epoch_has_a_pair_however_small_the_chances() -> None:
    train = TrainView.from_csr(sp.csr_array([[1, 0, 1, 0], [0, 1, 0, 0]]))
    judged = FalseNegatives.from_pairs(
        np.array([0]), np.array([3]), np.array([0.01], dtype=np.float32), n_users=2, n_items=4
    )
    rare = settings(false_negatives="sampled", observed=0.01)
    assert len(Pairs.build(train, rare, judged).order(0, 1)) == 1
    trained = fit(train, rare, false_negatives=judged, device="cpu")
    assert trained.epochs_run == 3
    assert np.isfinite(trained.user_vectors).all()


def test_sampled_pairs_are_the_same_for_the_same_key_and_not_for_another() -> None:
    pairs = Pairs.build(world(), settings(false_negatives="sampled"), some_pairs(world(), 0.3))
    assert np.array_equal(pairs.order(1, 2), pairs.order(1, 2))
    assert set(pairs.order(1, 2)) != set(pairs.order(1, 3)) != set(pairs.order(2, 3))


def test_a_sampled_pair_of_weight_one_is_a_positive() -> None:
    train = world()
    judged = some_pairs(train, 1.0)
    one, other = (
        fit(train, settings(false_negatives=use), false_negatives=judged, device="cpu")
        for use in ("sampled", "positive")
    )
    assert np.array_equal(one.user_vectors, other.user_vectors)


def test_a_model_comes_back_with_its_parameters_and_training_goes_on_from_them(tmp_path: Path) -> None:
    train = world()
    first = fit(train, settings(), device="cpu")
    first.save(tmp_path)
    again = TrainedModel.load(tmp_path)
    assert again.parameters
    assert again.parameters.keys() == first.parameters.keys()
    # a step of next to nothing stays where it started
    still = fit(train, settings(learning_rate=1e-12, epochs=1), start=again.parameters, device="cpu")
    assert np.allclose(still.user_vectors, first.user_vectors, atol=1e-9)
    fresh = fit(train, settings(learning_rate=1e-12, epochs=1), device="cpu")
    assert not np.allclose(fresh.user_vectors, first.user_vectors, atol=1e-3)


def test_another_start_is_another_run(tmp_path: Path) -> None:
    train = world()
    one, two = (fit(train, settings(seed=seed), device="cpu").parameters for seed in (0, 1))
    fit(train, settings(), start=one, device="cpu", checkpoint_dir=tmp_path)
    with pytest.raises(Exception, match="start"):
        fit(train, settings(), start=two, device="cpu", checkpoint_dir=tmp_path, resume=True)


def test_parameters_of_another_shape_are_refused() -> None:
    train = world()
    start = {name: torch.zeros(2, 2) for name in fit(train, settings(), device="cpu").parameters}
    with pytest.raises(ConfigError, match="the parameters to start from"):
        fit(train, settings(), start=start, device="cpu")


def test_half_of_the_free_items_stay_negatives() -> None:
    train = TrainView.from_csr(sp.csr_array(np.float32([[1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]])))
    users, items = np.array([0, 0, 0, 1]), np.array([3, 4, 6, 2])
    weights = np.float32([0.1, 0.9, 0.5, 0.2])
    judged = FalseNegatives.from_pairs(users, items, weights, n_users=2, n_items=7)
    pairs = Pairs.build(train, settings(false_negatives="weighted"), judged)
    added = set(zip(pairs.users[4:].tolist(), pairs.items[4:].tolist(), strict=True))
    assert added == {(0, 4), (0, 6), (1, 2)}  # four free items of the first user: two at most, the likeliest
    assert pairs.pool.available(np.array([0, 1])).tolist() == [2, 5]
