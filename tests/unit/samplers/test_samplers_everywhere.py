"""What every registered sampler does on tensors, without the host, and with several negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sampler_world import batch, begin, build
from torch.utils._python_dispatch import TorchDispatchMode

from dtlns.plugins import load_plugin, plugin_names
from dtlns.samplers.base import Negatives, Sampler
from dtlns.samplers.scored import ScoreBased
from dtlns.testing.checks import check_sampler
from dtlns.trees import PathCodes

OBSERVED = (np.add.outer(np.arange(6) * 5, np.arange(30) * 7) % 11 < 3).astype(float)
PAIRS = tuple(np.ascontiguousarray(ids) for ids in np.nonzero(OBSERVED))
CODES = {
    "structural": PathCodes.from_paths([(i % 4, i % 3) for i in range(30)]),
    "semantic": PathCodes.from_paths([(i % 2, i % 3, i % 4)[: 1 + i % 3] for i in range(30)]),
}
NAMES = plugin_names("dtlns.samplers")


def made(name: str) -> Sampler:
    kind = load_plugin("dtlns.samplers", name)
    views: dict[str, Any] = {"multi_view": True} if issubclass(kind, ScoreBased) else {}
    negatives = 1 if name == "in-batch" else 3
    sampler: Sampler = build(kind, OBSERVED, CODES, negatives=negatives, **views)
    return sampler


def answer(name: str, on_tensors: bool) -> Negatives:
    context = batch(OBSERVED, *PAIRS, on_tensors=on_tensors, seed=2**63 + 5)
    sampler = made(name)
    begin(sampler, context)
    return sampler.sample(context)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_draw_what_the_core_draws(name: str) -> None:
    core, tensors = answer(name, False), answer(name, True)
    assert torch.equal(core.ids, tensors.ids)
    for part in ("layers", "log_q", "allowed", "auxiliary_losses"):
        ours, theirs = getattr(core, part), getattr(tensors, part)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs)


class Waits(TorchDispatchMode):
    """Notes operations for whose answer the host would have to wait on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_waits_for_the_device(name: str) -> None:
    context, sampler = batch(OBSERVED, *PAIRS, on_tensors=True), made(name)
    begin(sampler, context)
    sampler.sample(context)  # tables are copied at the first call
    with Waits() as waits:
        sampler.sample(context)
    assert waits.seen == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"in-batch"}))
def test_several_negatives_pass_the_check_suite(name: str) -> None:
    check_sampler(name, negatives=3, candidates=4)
