from __future__ import annotations

import math

import numpy as np
import torch
from sampler_world import batch, build, random_layers
from scipy.stats import chisquare

from dtlns.losses.base import Batch
from dtlns.losses.softmax import SampledSoftmax
from dtlns.samplers.shared import SharedPopularity, SharedUniform
from dtlns.training.streams import Step

OBSERVED = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 0]])
EXCLUDE = [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_all_pairs_share_what_is_drawn_and_nobody_meets_his_own() -> None:
    sampler = build(SharedUniform, OBSERVED, negatives=40)
    found = sampler.sample(batch(OBSERVED, [0, 1, 2, 0], [0, 1, 3, 3], exclude=EXCLUDE))
    assert found.ids.shape == found.log_q.shape == (1, 40)
    taken = (OBSERVED + EXCLUDE)[[0, 1, 2, 0]][:, found.ids[0].numpy()]
    assert found.allowed.numpy().tolist() == (taken == 0).tolist()
    torch.testing.assert_close(found.log_q, torch.full((1, 40), -math.log(5)))


def test_draws_are_keyed_by_the_number_of_the_batch_not_by_its_pairs() -> None:
    sampler = build(SharedUniform, OBSERVED, negatives=20)
    whole = sampler.sample(batch(OBSERVED, [0, 1, 2, 0], [0, 1, 3, 3], number=7))
    # a second process, which has the last two pairs of the batch
    part = sampler.sample(
        batch(OBSERVED, [2, 0], [3, 3], rows=[2, 3], whole=([0, 1, 2, 0], [0, 1, 3, 3]), number=7)
    )
    assert torch.equal(whole.ids, part.ids)
    assert torch.equal(whole.allowed[2:], part.allowed)
    for other in ({"number": 8}, {"number": 7, "epoch": 2}, {"number": 7, "seed": 12}):
        assert not torch.equal(whole.ids, sampler.sample(batch(OBSERVED, [0], [0], **other)).ids)


def test_uniform_and_popular_draws_follow_q_over_the_batches() -> None:
    counts = OBSERVED.sum(axis=0)  # 1, 1, 0, 3, 0; what is never seen counts as 1
    for sampler, weights in (
        (build(SharedUniform, OBSERVED, negatives=8), np.ones(5)),
        (build(SharedPopularity, OBSERVED, negatives=8, options={"beta": 1}), np.maximum(counts, 1)),
    ):
        found = [sampler.sample(batch(OBSERVED, [0], [0], number=n)) for n in range(500)]
        share = weights / weights.sum()
        seen = np.bincount(torch.cat([each.ids for each in found]).flatten().numpy(), minlength=5)
        assert chisquare(seen, share * 4000).pvalue > 1e-4
        expected = torch.from_numpy(np.log(share)[found[0].ids.numpy()]).float()
        torch.testing.assert_close(found[0].log_q, expected)


def test_softmax_over_popular_draws_estimates_the_sum_over_what_the_user_does_not_have() -> None:
    layers = random_layers(3, 5, n_layers=1)
    sampler = build(SharedPopularity, OBSERVED, negatives=4000)
    context = batch(OBSERVED, [0, 1, 2], [0, 1, 3], layers)
    found = sampler.sample(context)
    asked = Batch(
        users=context.users,
        positives=context.positives,
        negatives=found.ids,
        whole_users=context.users,
        whole_positives=context.positives,
        layers=layers,
        user_layers=context.user_layers,
        positive_layers=context.positive_layers,
        negative_layers=found.embeddings(layers),
        allowed=found.allowed,
        log_q=found.log_q,
        step=Step(0, 1, 0),
        pooling=context.pooling,
        similarity="inner",
    )
    losses = SampledSoftmax(temperature=1.0).pair_losses(asked).detach().numpy()
    scores = (layers.users[:, 0] @ layers.items[:, 0].T).detach().numpy().astype(np.float64)
    for pair, (user, positive) in enumerate([(0, 0), (1, 1), (2, 3)]):
        others = np.exp(scores[user])[OBSERVED[user] == 0].sum()
        # K draws stand for K / I times the catalogue
        expected = -np.log(
            np.exp(scores[user, positive]) / (np.exp(scores[user, positive]) + others * 4000 / 5)
        )
        assert abs(losses[pair] - expected) < 0.05
