from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from sampler_world import batch, begin, build, random_layers, table
from scipy.stats import chisquare

from dtlns.embeddings import Layers
from dtlns.errors import InputError
from dtlns.samplers.srns import SRNS

OBSERVED = np.zeros((6, 12))
OBSERVED[:, 0] = 1
OBSERVED[0, :7] = 1
USERS, POSITIVES = [0, 1, 2, 3, 4, 5], [0] * 6


def context(epoch: int, shift: float = 0.0, **given: Any) -> Any:
    users, items = random_layers(6, 12)
    with torch.no_grad():  # another model in every epoch
        users = users * (1 + 0.3 * np.sin(epoch)) + shift * epoch
    return batch(OBSERVED, USERS, POSITIVES, Layers(users, items.detach()), epoch=epoch, **given)


def test_the_choice_is_score_plus_deviation_over_the_last_five_epochs() -> None:
    sampler = build(SRNS, OBSERVED, candidates=3, negatives=2, options={"alpha": 4.0, "warmup": 10})
    tables = []
    for epoch in range(1, 8):
        now = context(epoch, shift=0.1)
        begin(sampler, now)
        tables.append([each.mean(dim=1).double().numpy() for each in now.layers])
        found, memories = sampler.sample(now).ids, sampler.prepare(now)["candidates"].view(6, 2, 3)
        for user in USERS:
            for k in range(2):
                memory = memories[user, k].tolist()
                past = [
                    [1 / (1 + np.exp(u[user] @ i[0] - u[user] @ i[item])) for item in memory]
                    for u, i in tables[-5:]
                ]
                alpha = 4.0 * min(1, (epoch - 1) / 10)
                rated = np.array(past[-1]) + alpha * np.std(past, axis=0)
                assert found[user, k] == memory[int(rated.argmax())]


def test_memories_hold_each_allowed_item_once() -> None:
    sampler = build(SRNS, OBSERVED, candidates=3, options={"fresh": 2})
    for epoch in range(1, 6):
        now = context(epoch)
        begin(sampler, now)
        for memory in (sampler.memory, sampler.draw_candidates(now)):
            for user, held in enumerate(memory.tolist()):
                assert not OBSERVED[user, held].any()
                assert len(set(held)) == min(3, len(set(sampler.joined[user].tolist()) - {0}))


def test_the_first_memories_know_every_item() -> None:
    observed = np.zeros((200, 5))
    observed[:, 4] = 1
    sampler = build(SRNS, observed, candidates=2, options={"temperature": 1e6})
    begin(sampler, batch(observed, [0], [4], random_layers(200, 5)))
    counts = np.bincount(sampler.memory.flatten(), minlength=5)  # of items that nobody scores apart
    assert counts[4] == 0
    assert chisquare(counts[:4]).pvalue > 1e-4


def test_what_may_no_longer_be_drawn_leaves_the_memory() -> None:
    sampler = build(SRNS, OBSERVED, candidates=3)
    begin(sampler, context(1))
    exclude = np.zeros(OBSERVED.shape)
    exclude[1:, 1:9] = 1  # the others have items 9, 10 and 11 left
    now = context(2, exclude=exclude)
    begin(sampler, now)
    assert sampler.memory[1:].min() >= 9
    assert sampler.draw_candidates(now)[1:].min() >= 9


def chances(known: list[int], weights: np.ndarray) -> dict[tuple[int, ...], float]:
    """Draw two of some items without replacement; the same twice where there is no other."""
    if len(known) == 1:
        return {(known[0], known[0]): 1.0}
    found: dict[tuple[int, ...], float] = {}
    for first, second in permutations(known, 2):
        p = weights[first] / weights[known].sum()
        p *= weights[second] / (weights[known].sum() - weights[first])
        pair = (min(first, second), max(first, second))
        found[pair] = found.get(pair, 0.0) + p
    return found


def follows(drawn: torch.Tensor, chance: dict[tuple[int, ...], float]) -> bool:
    pairs = [tuple(each) for each in drawn.sort(dim=1).values.tolist()]
    counts = np.array([pairs.count(pair) for pair in chance])
    assert counts.sum() == len(pairs)
    return bool(chisquare(counts, np.array(list(chance.values())) * len(pairs)).pvalue > 1e-4)


@pytest.mark.parametrize("later", [False, True])
def test_memories_are_drawn_without_replacement_by_their_scores(later: bool) -> None:
    n_users, scores = 6000, np.array([9.0, 1.0, 0.0, -1.0])
    weights = np.exp(scores / 0.7)
    observed = np.zeros((n_users, 4))
    observed[:, 0] = 1
    layers = Layers(table(np.ones(n_users)), table(scores))
    sampler = build(SRNS, observed, candidates=2, options={"temperature": 0.7, "fresh": 1})
    if later:  # everybody remembers items 1 and 3
        sampler.memory.copy_(torch.tensor([1, 3]).expand(n_users, 2))
    begin(sampler, batch(observed, [0], [0], layers))
    chance: dict[tuple[int, ...], float] = {}
    for fresh in product([1, 2, 3], repeat=2):
        for pair, p in chances(list(dict.fromkeys([*([1, 3] if later else []), *fresh])), weights).items():
            chance[pair] = chance.get(pair, 0.0) + p / 9
    assert follows(sampler.memory, chance)


def test_each_pair_renews_the_memory_for_itself() -> None:
    observed, scores = [[1, 0, 0, 0, 0]], np.array([9.0, 1.0, 0.0, -1.0, 0.5])
    layers = Layers(table([1.0]), table(scores))
    sampler = build(SRNS, observed, candidates=2, options={"temperature": 0.7, "fresh": 1})
    sampler.memory.copy_(torch.tensor([[1, 3]]))
    now = batch(observed, [0] * 6000, [0] * 6000, layers)
    begin(sampler, now)
    known = list(dict.fromkeys(sampler.joined[0].tolist()))
    assert known[:2] == [1, 3]
    assert follows(sampler.draw_candidates(now), chances(known, np.exp(scores / 0.7)))


def test_state_comes_back_with_its_history() -> None:
    sampler, other = build(SRNS, OBSERVED, candidates=3), build(SRNS, OBSERVED, candidates=3)
    for epoch in range(1, 8):
        begin(sampler, context(epoch))
    assert sampler.user_history.shape == (5, 6, 3)
    other.load_state_dict(sampler.state_dict())
    for each in (sampler, other):
        begin(each, context(8))
    assert torch.equal(sampler.memory, other.memory)
    assert torch.equal(sampler.sample(context(8)).ids, other.sample(context(8)).ids)


def test_blocks_of_users_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = build(SRNS, OBSERVED, candidates=3), build(SRNS, OBSERVED, candidates=3)
    begin(whole, context(1))
    monkeypatch.setattr("dtlns.samplers.srns._USERS", 4)
    begin(parts, context(1))
    assert torch.equal(whole.memory, parts.memory)
    torch.testing.assert_close(whole.log_weights, parts.log_weights)


def test_options_are_checked() -> None:
    for options in ({"alpha": -1}, {"warmup": 0}, {"temperature": 0}, {"fresh": 0}):
        with pytest.raises(InputError, match=f"{next(iter(options))} is"):
            build(SRNS, OBSERVED, options=options)
