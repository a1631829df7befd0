from __future__ import annotations

from itertools import product
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
        found = sampler.sample(now).ids
        for user in USERS:
            for k in range(2):
                memory = sampler.memory[user].view(2, 3)[k].tolist()
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
        begin(sampler, context(epoch))
        for user in USERS:
            held = sampler.memory[user].tolist()
            assert not OBSERVED[user, held].any()
            if user:  # 11 items are left: among 9 there are three different ones but once in thousands
                assert len(set(held)) == 3


def test_what_may_no_longer_be_drawn_leaves_the_memory() -> None:
    sampler = build(SRNS, OBSERVED, candidates=3)
    begin(sampler, context(1))
    exclude = np.zeros(OBSERVED.shape)
    exclude[1:, 1:9] = 1  # the others have items 9, 10 and 11 left
    begin(sampler, context(2, exclude=exclude))
    assert sampler.memory[1:].min() >= 9


@pytest.mark.parametrize("later", [False, True])
def test_memories_are_drawn_without_replacement_by_their_scores(later: bool) -> None:
    n_users, scores = 6000, np.array([9.0, 1.0, 0.0, -1.0])
    observed = np.zeros((n_users, 4))
    observed[:, 0] = 1
    layers = Layers(table(np.ones(n_users)), table(scores))
    options = {"temperature": 0.7, "fresh": 1}
    sampler = build(SRNS, observed, candidates=2, options=options)
    if later:  # everybody remembers items 1 and 3
        sampler.memory.copy_(torch.tensor([1, 3]).expand(n_users, 2))
    begin(sampler, batch(observed, [0], [0], layers))
    chance: dict[tuple[int, ...], float] = {}
    for fresh in product([1, 2, 3], repeat=2):
        known = list(dict.fromkeys(([1, 3] if later else []) + list(fresh)))
        weights = np.exp(scores / 0.7)
        if len(known) == 1:  # an item may be there twice where there is no other
            pair = (known[0], known[0])
            chance[pair] = chance.get(pair, 0) + 1 / 9
        for first in known if len(known) > 1 else []:
            for second in set(known) - {first}:
                rest = weights[known].sum() - weights[first]
                p = weights[first] / weights[known].sum() * weights[second] / rest / 9
                pair = (min(first, second), max(first, second))
                chance[pair] = chance.get(pair, 0) + p
    held = sampler.memory.sort(dim=1).values.tolist()
    counts = np.array([sum(tuple(each) == pair for each in held) for pair in chance])
    assert counts.sum() == n_users
    assert chisquare(counts, np.array(list(chance.values())) * n_users).pvalue > 1e-4


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
    torch.testing.assert_close(whole.scores_history, parts.scores_history)


def test_options_are_checked() -> None:
    for options in ({"alpha": -1}, {"warmup": 0}, {"temperature": 0}, {"fresh": 0}):
        with pytest.raises(InputError, match=f"{next(iter(options))} is"):
            build(SRNS, OBSERVED, options=options)
