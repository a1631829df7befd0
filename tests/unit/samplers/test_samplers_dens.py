from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sampler_world import batch, build, random_layers, table
from torch import nn

from dtlns.embeddings import Layers
from dtlns.errors import InputError
from dtlns.samplers.dens import DENS
from dtlns.trees import PathCodes

OBSERVED = np.zeros((4, 9))
OBSERVED[:, 0] = 1


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def apply(gate: nn.Linear, x: np.ndarray) -> np.ndarray:
    return gate.weight.detach().double().numpy() @ x + gate.bias.detach().double().numpy()


def naive_gates(sampler: DENS, user: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> tuple:
    """The relevant factors of one layer of a positive and a negative."""
    p_r = positive * sigmoid(apply(sampler.item, positive) + apply(sampler.user, user))
    return p_r, negative * sigmoid(apply(sampler.neg, negative) + apply(sampler.pos, p_r))


def test_half_open_gates_by_hand() -> None:
    # gates without weights are half open: every factor is half of the item
    gates = {name: nn.Linear(1, 1) for name in ("item", "user", "neg", "pos")}
    for gate in gates.values():
        nn.init.zeros_(gate.weight)
        nn.init.zeros_(gate.bias)
    layers = Layers(table([2.0]), table([3.0, -1.0, 0.5, 4.0]))
    sampler = DENS(gates, 3, gamma=0.4, warmup=2.0)
    candidates, observed = torch.tensor([[1, 2, 3]]), [[1, 0, 0, 0]]
    for epoch, kept in ((1, 1.0), (2, 0.5), (3, 0.0), (9, 0.0)):
        scores = sampler.scores(batch(observed, [0], [0], layers, epoch=epoch), candidates)
        # <u, kept n - n / 2>, with <u, n> = -2, 1, 8
        expected = torch.tensor([[-2.0, 1.0, 8.0]]) * (kept - 0.5)
        torch.testing.assert_close(scores.squeeze(2), expected)
    found = sampler.contrasts(batch(observed, [0], [0], layers), torch.tensor([[[[4.0]], [[-1.0]]]]))
    # halves: s(p) = 3 and 3, s(n) = 4 and 4, s(m) = -1 and -1, for the factors of p, n and m
    e = math.exp
    terms = math.log(2) + math.log(3) + math.log(1 + e(1) + e(-4)) + math.log(1 + e(-1) + e(4))
    torch.testing.assert_close(found, torch.tensor([0.4 / 4 * terms]))


@pytest.mark.parametrize("epoch", [1, 4, 30])
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_choice_and_contrasts_equal_the_formula_in_loops(epoch: int, weight: float) -> None:
    codes = {"tree": PathCodes.from_paths([(i % 3, i % 2) for i in range(9)])}
    views = {"multi_view": True, "view_weights": {"tree": weight}} if weight else {}
    sampler = build(DENS, OBSERVED, codes, candidates=4, negatives=2, options={"warmup": 12}, **views)
    layers = random_layers(4, 9)
    context = batch(OBSERVED, [0, 1, 2, 3] * 3, [0] * 12, layers, epoch=epoch)
    users, items = (each.detach().double().numpy() for each in layers)
    candidates, found = context.draw(8).view(12, 2, 4).tolist(), sampler.sample(context)
    for b in range(12):
        user, negatives, relevant = users[b % 4], np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
        for k in range(2):
            for layer in range(2):
                scores = []
                for item in candidates[b][k]:
                    _, n_r = naive_gates(sampler, user[layer], items[0, layer], items[item, layer])
                    shifted = (1 - min(1, (epoch - 1) / 12)) * items[item, layer] - n_r
                    scores.append(float(user[layer] @ shifted))
                rated = np.array(scores)
                if weight:
                    near = codes["tree"].similarity(0, candidates[b][k])
                    rated = (rated - rated.min()) / (np.ptp(rated) or 1) + weight * near
                chosen = candidates[b][k][int(rated.argmax())]
                negatives[k, layer] = items[chosen, layer]
                p_r, relevant[k, layer] = naive_gates(
                    sampler, user[layer], items[0, layer], items[chosen, layer]
                )
        np.testing.assert_allclose(found.layers[b].detach().numpy(), negatives, rtol=1e-6)
        p_r = np.stack([naive_gates(sampler, user[la], items[0, la], items[0, la])[0] for la in range(2)])

        def score(factor: np.ndarray, user: np.ndarray = user) -> float:
            return float(user.mean(axis=0) @ factor.mean(axis=0))

        n_rs = [score(each) for each in relevant]
        n_is = [score(each) for each in negatives - relevant]
        s_pr, s_pi = score(p_r), score(items[0] - p_r)
        total = np.log1p(np.exp(s_pi - s_pr))
        total += np.log1p(sum(np.exp(r - i) for r, i in zip(n_rs, n_is, strict=True)))
        total += np.log1p(sum(np.exp(r - s_pr) for r in n_rs))
        total += np.log1p(sum(np.exp(s_pi - i) for i in n_is))
        assert found.auxiliary_losses is not None
        np.testing.assert_allclose(float(found.auxiliary_losses[b].detach()), 0.3 / 4 * total, rtol=1e-5)


def test_scores_do_not_depend_on_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, context = build(DENS, OBSERVED, candidates=4), batch(OBSERVED, [0, 1, 2, 3, 3], [0] * 5)
    whole = sampler.scores(context, context.draw(4))
    monkeypatch.setattr("dtlns.samplers.dens._SLICE_NUMBERS", 50)  # two rows at a time
    torch.testing.assert_close(sampler.scores(context, context.draw(4)), whole)


def test_gates_begin_as_pytorch_begins_them_and_by_the_seed() -> None:
    sampler, again = build(DENS, OBSERVED), build(DENS, OBSERVED)
    bound = 1 / math.sqrt(3)
    for parameter, other in zip(sampler.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, other)
        assert parameter.abs().max() <= bound
    assert not torch.equal(sampler.item.weight, sampler.user.weight)


def test_contrasts_teach_gates_and_embeddings() -> None:
    layers = random_layers(4, 9)
    sampler = build(DENS, OBSERVED, candidates=3)
    found = sampler.sample(batch(OBSERVED, [0, 1], [0, 0], layers))
    assert found.auxiliary_losses is not None
    found.auxiliary_losses.sum().backward()
    for parameter in (*sampler.parameters(), layers.users, layers.items):
        assert parameter.grad is not None
        assert parameter.grad.any()


def test_options_are_checked() -> None:
    for options in ({"gamma": 0}, {"warmup": 0}):
        with pytest.raises(InputError, match="a number above 0"):
            build(DENS, OBSERVED, options=options)
