"""Losses against hand-worked numbers, naive loops and PyTorch's cross-entropy."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loss_world import scored, with_scores
from torch.nn import functional

from dtlns.embeddings import Layers
from dtlns.errors import ConfigError, InputError
from dtlns.losses.bpr import BPR
from dtlns.losses.bsl import BSL, sum_of_log_mean_exp
from dtlns.losses.registry import build_loss
from dtlns.losses.softmax import SampledSoftmax
from dtlns.plugins import plugin_names
from dtlns.testing.checks import check_loss
from dtlns.training.settings import LossConfig

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "losses.md"
COUNTING = torch.tensor([[True, True], [True, False], [False, False]])


@pytest.mark.parametrize("name", plugin_names("dtlns.losses"))
def test_registered_losses(name: str) -> None:
    check_loss(name)


@pytest.mark.parametrize("name", ["bpr", "softmax", "bsl"])
@pytest.mark.parametrize("similarity", ["inner", "cosine"])
def test_losses_of_scores_take_both_similarities(name: str, similarity: str) -> None:
    check_loss(name, similarity=similarity)


def test_bpr_by_hand() -> None:
    batch = scored([1.0, 0.0], [[0.0, 2.0], [3.0, -1.0]])
    terms = [[math.log1p(math.exp(gap)) for gap in row] for row in ([-1.0, 1.0], [3.0, -1.0])]
    assert BPR().pair_losses(batch).tolist() == pytest.approx([sum(row) / 2 for row in terms], rel=1e-6)


def test_bpr_averages_over_the_negatives_that_count() -> None:
    batch = scored([1.0, 0.0, 5.0], [[0.0, 2.0], [3.0, -1.0], [1.0, 1.0]], allowed=COUNTING)
    both = (math.log1p(math.exp(-1.0)) + math.log1p(math.exp(1.0))) / 2
    assert BPR().pair_losses(batch).tolist() == pytest.approx([both, math.log1p(math.exp(3.0)), 0.0])


def test_bpr_stands_large_differences() -> None:
    assert BPR().pair_losses(scored([-500.0, 500.0], [[500.0], [-500.0]])).tolist() == [1000.0, 0.0]


def test_softmax_by_hand() -> None:
    batch = scored([1.0, 0.0, 5.0], [[0.0, 2.0], [3.0, -1.0], [1.0, 1.0]], allowed=COUNTING)
    e = math.exp
    expected = [
        -math.log(e(2.0) / (e(2.0) + e(0.0) + e(4.0))),
        -math.log(1.0 / (1.0 + e(6.0))),
        0.0,
    ]
    assert SampledSoftmax(temperature=0.5).pair_losses(batch).tolist() == pytest.approx(expected, rel=1e-6)


def test_softmax_without_correction_is_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(6, 5, generator=generator)
    batch = scored(scores[:, 0].tolist(), scores[:, 1:].tolist())
    ours = SampledSoftmax(temperature=0.15).pair_losses(batch)
    theirs = functional.cross_entropy(scores / 0.15, torch.zeros(6, dtype=torch.long), reduction="none")
    torch.testing.assert_close(ours, theirs)


def test_softmax_corrects_by_the_chance_of_a_draw() -> None:
    batch = scored([1.0], [[0.5, -0.5]], layers=Layers(torch.zeros(1, 1, 2), torch.zeros(4, 1, 2)))
    q = torch.tensor([[0.5, 0.125]])
    mass = math.exp(0.5) / (4 * 0.5) + math.exp(-0.5) / (4 * 0.125)
    expected = math.log((math.exp(1.0) + mass) / math.exp(1.0))
    loss = SampledSoftmax(temperature=1.0)
    assert loss.pair_losses(replace(batch, log_q=q.log())).item() == pytest.approx(expected, rel=1e-6)
    uniform = loss.pair_losses(replace(batch, log_q=torch.full((1, 2), 0.25).log()))
    torch.testing.assert_close(uniform, loss.pair_losses(batch))


def test_the_corrected_sum_estimates_the_whole_catalogue() -> None:
    """I / K times Σ_n exp(s_n) / (q_n I) over K draws from q is near Σ_i exp(s_i)."""
    items, draws = 5, 40_000
    generator = torch.Generator().manual_seed(2)
    scores, q = torch.randn(items, generator=generator), torch.rand(items, generator=generator)
    q = q / q.sum()
    ids = torch.multinomial(q, draws, replacement=True, generator=generator)
    layers = Layers(torch.zeros(1, 1, 2), torch.zeros(items, 1, 2))
    batch = scored([0.0], [scores[ids].tolist()], layers=layers, log_q=q[ids].log().unsqueeze(0))
    mass = SampledSoftmax(temperature=1.0).pair_losses(batch).exp().item() - 1.0
    assert mass * items / draws == pytest.approx(scores.exp().sum().item(), rel=0.02)


USERS = [0, 1, 0, 0, 2]
POSITIVES = [0.9, 0.2, -0.4, 0.5, 0.1]
RANDOM = [[0.3, -0.2], [0.1, 0.7], [0.0, 0.4], [-0.9, 0.2], [0.6, 0.6]]


def naive_bsl(tau1: float, tau2: float, weights: list[float]) -> float:
    """Follow the formula pair by pair: the positive side averages over the pairs of the same user."""
    total = 0.0
    for pair, user in enumerate(USERS):
        of_user = [p for p, other in enumerate(USERS) if other == user]
        mass = sum(weights[p] * math.exp(POSITIVES[p] / tau1) for p in of_user)
        positive = math.log(mass / sum(weights[p] for p in of_user))
        negative = math.log(sum(math.exp(score / tau2) for score in RANDOM[pair]) / len(RANDOM[pair]))
        total += weights[pair] * (negative - tau1 / tau2 * positive)
    return total / len(USERS)


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 0.25, 1.0, 0.1]])
@pytest.mark.parametrize(("tau1", "tau2"), [(0.15, 0.15), (0.3, 0.1)])
def test_bsl_is_its_formula(tau1: float, tau2: float, weights: list[float] | None) -> None:
    given = None if weights is None else torch.tensor(weights)
    batch = scored(POSITIVES, RANDOM, users=USERS, whole_weights=given)
    loss = BSL(temperature=tau2, positive_temperature=tau1)
    pairs = loss.pair_losses(batch)
    total = (pairs if given is None else pairs * given).mean() + loss.batch_loss(batch)
    assert total.item() == pytest.approx(naive_bsl(tau1, tau2, weights or [1.0] * len(USERS)), rel=1e-5)


def test_bsl_counts_a_doubtful_positive_less() -> None:
    """The gradient of a user's positives is shared as a softmax of their scores."""
    batch = scored([1.0, 0.0, 0.3], [[0.0]] * 3, users=[0, 0, 1])
    items = batch.layers.items.clone().requires_grad_()
    layers = Layers(batch.layers.users, items)
    loss = BSL(temperature=0.5, positive_temperature=1.0)
    batch = replace(batch, layers=layers, positive_layers=items)
    (loss.pair_losses(batch).sum() + 3 * loss.batch_loss(batch)).backward()
    share = math.exp(1.0) / (math.exp(1.0) + 1.0)
    assert items.grad is not None
    assert items.grad[:, 0, 0].tolist() == pytest.approx([-2 * 2 * share, -2 * 2 * (1 - share), -2.0])


def test_bsl_without_negatives_is_nothing() -> None:
    batch = scored([1.0, 0.0, 5.0], [[0.0, 2.0], [3.0, -1.0], [1.0, 1.0]], allowed=COUNTING)
    both = math.log((1.0 + math.exp(2.0)) / 2) - 1.0
    assert BSL(temperature=1.0).pair_losses(batch).tolist() == pytest.approx([both, 3.0, 0.0], rel=1e-6)


def test_means_by_user_stand_large_scores_and_weights_of_zero() -> None:
    logits = torch.tensor([1000.0, 998.0, -1000.0, 3.0])
    weights, users = torch.tensor([1.0, 3.0, 4.0, 0.0]), torch.tensor([3, 3, 1, 0])
    expected = 4 * (1000.0 + math.log((1 + 3 * math.exp(-2.0)) / 4)) - 4000.0
    assert sum_of_log_mean_exp(logits, weights, users, 5).item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, True, "warm"])
@pytest.mark.parametrize("name", ["softmax", "bsl"])
def test_temperatures_are_positive(name: str, value: object) -> None:
    with pytest.raises(InputError, match=r"temperature is .* · allowed: a number above 0"):
        build_loss(LossConfig(name=name, options={"temperature": value}), "bpr")


def test_losses_by_name() -> None:
    assert isinstance(build_loss(LossConfig(), "bpr"), BPR)
    built = build_loss(LossConfig(name="softmax", options={"temperature": 1}), "bpr")
    assert isinstance(built, SampledSoftmax)
    assert (built.temperature, built.similarity) == (1.0, "cosine")
    with pytest.raises(ConfigError, match="loss 'bpr' has no option 'temperature' · allowed: no options"):
        build_loss(LossConfig(name="bpr", options={"temperature": 1}), "bpr")
    with pytest.raises(ConfigError, match="unknown loss 'hinge'"):
        build_loss(LossConfig(name="hinge"), "bpr")


def test_what_is_no_loss_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtlns.losses.registry.load_plugin", lambda *_: dict)
    with pytest.raises(ConfigError, match="loss 'odd' is <class 'dict'>"):
        build_loss(LossConfig(name="odd"), "bpr")


def test_shared_negatives_are_not_copied_for_each_pair() -> None:
    rows = with_scores([0.5, -0.5, 0.1]).unsqueeze(0)
    batch = replace(scored([1.0, 0.0], [[0.0], [0.0]]), negatives=torch.arange(3).unsqueeze(0))
    batch = replace(batch, negative_layers=rows)
    torch.testing.assert_close(batch.negative_scores, torch.tensor([[0.5, -0.5, 0.1]] * 2))


def test_the_page_says_what_the_losses_do() -> None:
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, attempted) == (0, 6)
    text, batch = PAGE.read_text("utf-8"), scored([1.0], [[0.0, 2.0]])
    for loss in (SampledSoftmax(temperature=1.0), BPR(), BSL(temperature=1.0)):
        assert f"= {loss.pair_losses(batch).item():.4f}" in text[text.index("By hand:") :]
    assert all(f"| `{name}` |" in text for name in plugin_names("dtlns.losses"))
