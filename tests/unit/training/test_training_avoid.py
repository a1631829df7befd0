"""The use `avoid`: a pair is out of an epoch's negatives with the chance of its weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.stats import binomtest, chisquare

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.false_negatives import FalseNegatives
from dtlns.samplers.base import SamplingContext
from dtlns.samplers.dns import DNS
from dtlns.training.batches import Batches
from dtlns.training.pairs import Pairs
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.trainer import train as fit

VIEW = TrainView.from_csr(sp.csr_array(np.float32([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])))
AVOID = TrainConfig(
    model=ModelConfig(name="mf", dimensions=4),
    sampler=SamplerConfig(name="dns", candidates=3),
    false_negatives="avoid",
    epochs=4,
    validate_every=2,
)


def judged(weights: list[float]) -> FalseNegatives:
    """Of user 0: weights of items 1, 2, and so on."""
    items = 1 + np.arange(len(weights))
    return FalseNegatives.from_pairs(np.zeros_like(items), items, np.float32(weights), n_users=2, n_items=6)


def test_the_hardest_candidate_that_is_not_avoided_is_taken() -> None:
    """Items 1, 2, 3 from the hardest on, out with 0.75, 0.5 and 0: taken 2, 3 and 3 times in 8."""
    pairs = Pairs.build(VIEW, AVOID, judged([0.75, 0.5]))
    batches = Batches(pairs, AVOID, torch.device("cpu"))
    user = torch.tensor([[[1.0]], [[1.0]]])
    layers = Layers(user, torch.tensor([9.0, 3.0, 2.0, 1.0, 0.0, -1.0]).view(6, 1, 1))
    taken = []
    for epoch in range(1, 801):
        one = torch.zeros(1, dtype=torch.int64)
        context = SamplingContext(
            users=one,
            positives=one,
            rows=one,
            whole_users=one,
            whole_positives=one,
            draws=batches.draws(epoch),
            seed=0,
            epoch=epoch,
            epochs=800,
            number=0,
            layers=layers,
            user_layers=layers.users[:1],
            positive_layers=layers.items[:1],
            pooling=lambda layered: layered.mean(dim=-2),
        )
        taken.append(int(DNS(128).sample(context).ids))  # so many candidates that nothing is missing
    counts = np.bincount(taken, minlength=6)
    assert counts[[0, 4, 5]].tolist() == [0, 0, 0]
    assert chisquare(counts[1:4], [200, 300, 300]).pvalue > 1e-3


def test_a_pair_is_out_in_the_share_of_epochs_that_its_weight_says() -> None:
    dense = TrainView.from_csr(sp.csr_array(np.float32([[1] + [0] * 20])))
    weights = np.float32([0.0, 0.1, 0.5, 0.9, 1.0])
    pairs = FalseNegatives.from_pairs(np.zeros(5, int), np.arange(1, 6), weights, n_users=1, n_items=21)
    made = Pairs.build(dense, AVOID, pairs)
    out = np.array([[np.isin(np.arange(1, 6), made.negatives(7, e).forbidden(0))] for e in range(400)])
    out = out[:, 0]
    assert not out[:, 0].any()
    assert out[:, 4].all()
    for at in (1, 2, 3):
        assert binomtest(int(out[:, at].sum()), 400, weights[at]).pvalue > 1e-3
    assert abs(np.corrcoef(out[:, 1:4].T)[np.triu_indices(3, 1)]).max() < 0.2  # each by its own chance


def test_the_draw_is_keyed_by_seed_and_epoch() -> None:
    pairs = Pairs.build(VIEW, AVOID, judged([0.5, 0.5]))
    assert len(pairs) == VIEW.n_interactions
    sets = [tuple(pairs.negatives(3, epoch).forbidden(0)) for epoch in range(20)]
    assert sets == [tuple(pairs.negatives(3, epoch).forbidden(0)) for epoch in range(20)]
    assert set(sets) == {(0,), (0, 1), (0, 2), (0, 1, 2)}
    assert pairs.pool.forbidden(0).tolist() == [0, 1, 2]  # what is left in every epoch
    batches = Batches(pairs, AVOID, torch.device("cpu"))
    assert batches.draws(1) is batches.draws(1)
    assert batches.draws(1) is not batches.draws(2)


def test_its_ends_are_excluding_and_ignoring() -> None:
    def run(use: str, weight: float) -> np.ndarray:
        settings = AVOID.model_copy(update={"false_negatives": use})
        return fit(VIEW, settings, false_negatives=judged([weight] * 2), device="cpu").user_vectors

    assert np.array_equal(run("avoid", 1.0), run("exclude", 1.0))
    assert np.array_equal(run("avoid", 0.0), run("ignore", 0.0))
    assert not np.array_equal(run("avoid", 1.0), run("avoid", 0.0))


class _StopError(Exception):
    pass


@pytest.mark.parametrize("sampler", ["dns", "srns", "shared-popularity"])
def test_a_stopped_run_goes_on_to_the_same_bits(sampler: str, tmp_path: Path) -> None:
    settings = AVOID.model_copy(update={"sampler": SamplerConfig(name=sampler, candidates=3)})
    given = {"false_negatives": judged([0.4, 0.6]), "device": "cpu"}

    def stop(progress: object) -> None:
        if progress.epoch == 3:  # type: ignore[attr-defined]
            raise _StopError

    with pytest.raises(_StopError):
        fit(VIEW, settings, **given, checkpoint_dir=tmp_path, progress=stop)
    again = fit(VIEW, settings, **given, checkpoint_dir=tmp_path, resume=True)
    assert np.array_equal(again.user_vectors, fit(VIEW, settings, **given).user_vectors)
