"""The check suite passes every sampler of ours, and fails each that breaks a rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from dtlns.errors import ConfigError
from dtlns.plugins import plugin_names
from dtlns.samplers.base import Negatives, Sampler, SamplingContext
from dtlns.samplers.dns import DNS
from dtlns.samplers.uniform import Uniform
from dtlns.testing.checks import check_sampler


@pytest.mark.parametrize("name", plugin_names("dtlns.samplers"))
def test_registered_samplers(name: str) -> None:
    check_sampler(name, in_batch=name == "in-batch")


class OnPositives(Sampler):
    def sample(self, context: SamplingContext) -> Negatives:
        others = (context.draw(1) + context.positives.unsqueeze(1)) % len(context.layers.items)
        return Negatives(others)


class Narrow(Sampler):
    def sample(self, context: SamplingContext) -> Negatives:
        return Negatives(context.draw(1).to(torch.int32))


class GlobalRandom(Sampler):
    def sample(self, context: SamplingContext) -> Negatives:
        ids = context.draw(5)
        return Negatives(ids.gather(1, torch.randint(5, (len(ids), 1))))


class SameEveryEpoch(Sampler):
    def sample(self, context: SamplingContext) -> Negatives:
        return Negatives(context.draws.draw(context.users, 1, rows=context.rows, seed=context.seed, epoch=0))


class Neighbouring(Sampler):
    """Takes its row's draw from the batch's first row where the two users are the same."""

    def sample(self, context: SamplingContext) -> Negatives:
        ids = context.draw(1)
        first = context.users == context.users[:1]
        return Negatives(torch.where(first.unsqueeze(1), ids[:1], ids))


class Forgetful(Sampler):
    """Counts its calls, and keeps the count out of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def sample(self, context: SamplingContext) -> Negatives:
        self.calls += 1
        return Negatives(context.draw(4)[:, self.calls % 4 :][:, :1])


class WrongLogQ(Uniform):
    def sample(self, context: SamplingContext) -> Negatives:
        found = super().sample(context)
        return Negatives(found.ids, log_q=torch.full(found.ids.shape, -math.log(len(context.layers.items))))


class Biased(Uniform):
    """Draws even items twice as often, and says that it is uniform."""

    def sample(self, context: SamplingContext) -> Negatives:
        found = super().sample(context)
        two = context.draw(2)
        return Negatives(torch.where(two[:, :1] % 2 == 0, two[:, :1], two[:, 1:]), log_q=found.log_q)


class Detached(Sampler):
    def sample(self, context: SamplingContext) -> Negatives:
        ids = context.draw(1)
        return Negatives(ids, layers=context.layers.items.detach()[ids].requires_grad_())


class Idle(Sampler):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def sample(self, context: SamplingContext) -> Negatives:
        return Negatives(context.draw(1))


class WithoutChoose(DNS):
    def sample(self, context: SamplingContext) -> Negatives:
        candidates = context.draw(self.candidates)
        return Negatives(candidates.gather(1, self.scores(context, candidates).argmax(dim=1)))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OnPositives, "who has it or it is excluded"),
        (Narrow, r"ids are torch.int32 \(\d+, 1\), not int64"),
        (GlobalRandom, "PyTorch's global random state was used"),
        (SameEveryEpoch, "another epoch gives the same answer"),
        (Neighbouring, "depends on the rest of its batch"),
        (Forgetful, "restored from its state_dict answers otherwise"),
        (WrongLogQ, "sums to 0.[0-9]+, not 1"),
        (Biased, "draws do not follow exp"),
        (Detached, "no finite gradient reaches the items' layers"),
        (Idle, "no finite gradient reaches parameter scale"),
        (WithoutChoose, "views do not change the choice"),
    ],
)
def test_broken_samplers_fail(kind: type[Sampler], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(kind)


class Learned(Sampler):
    """A sampler with a parameter, a buffer and a loss of its own."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(start))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    option_names = ("start",)

    @classmethod
    def build(cls, config: Any, *_: object, **__: object) -> Learned:
        return cls(config.options.get("start", 0.0))

    def sample(self, context: SamplingContext) -> Negatives:
        self.calls += 1
        ids = context.draw(4)
        turn = (int(self.calls) + np.arange(len(ids))) % 4
        return Negatives(
            ids.gather(1, torch.from_numpy(turn).unsqueeze(1)),
            auxiliary_losses=(self.shift - 1).square().expand(len(ids)),
        )


def test_a_sampler_with_state_and_options_passes() -> None:
    check_sampler(Learned, in_batch=True, options={"start": 0.5})
    with pytest.raises(ConfigError, match=r"sampler 'Learned' has no option 'begin' · allowed: start"):
        check_sampler(Learned, options={"begin": 0.5})
