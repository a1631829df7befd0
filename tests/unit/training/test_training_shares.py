"""Several processes: shares of a batch that may be empty, and what is done about errors and devices."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, distributed

from dtlns.codes import PathCodes
from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.errors import InputError
from dtlns.losses.registry import build_loss
from dtlns.models.mf import MF
from dtlns.plugins import load_plugin, plugin_names
from dtlns.samplers.base import EpochContext
from dtlns.samplers.registry import build_sampler
from dtlns.samplers.scored import ScoreBased
from dtlns.training.batches import Batches
from dtlns.training.loop import Loop
from dtlns.training.pairs import Pairs
from dtlns.training.parallel import ALONE, Processes, processes
from dtlns.training.settings import LossConfig, SamplerConfig, TrainConfig
from dtlns.training.step import TrainStep

TRAIN = TrainView.from_csr(sp.csr_array((np.random.default_rng(0).random((9, 20)) < 0.3).astype(np.float32)))
CODES = {
    "structural": PathCodes.from_paths([(i % 4, i % 3) for i in range(20)]),
    "semantic": PathCodes.from_paths([(i % 3, i % 4) for i in range(20)]),
}


def last_batch(sampler: str, loss: str, together: Processes) -> list[Tensor]:
    """Return loss and gradients of a last batch that has one pair."""
    scored = issubclass(load_plugin("dtlns.samplers", sampler), ScoreBased)
    settings = TrainConfig(
        sampler=SamplerConfig(name=sampler, candidates=4, multi_view=scored),
        loss=LossConfig(name=loss),
        batch_size=TRAIN.n_interactions - 1,
    )
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"dimensions": 6})})
    model, built = MF(9, 20, 6), build_sampler(settings, TRAIN, CODES)
    batches = Batches(Pairs.build(TRAIN, settings, None), settings, torch.device("cpu"), together)
    rule = build_loss(settings.loss, "bpr")
    tables = Layers(*(table.detach() for table in model.layers()))
    built.begin_epoch(
        EpochContext(
            draws=batches.draws(1),
            layers=tables,
            pooling=model.pool,
            similarity=rule.similarity,
            seed=0,
            epoch=1,
            epochs=2,
        )
    )
    step = TrainStep(model, built, rule, similarity=rule.similarity, l2=0.01, processes=together.size)
    drawn = list(batches.epoch(1, built))[-1]
    value = step(drawn.context, drawn.prepared, drawn.weights)
    value.backward()
    gradients = [parameter.grad for parameter in step.parameters()]
    return [value.detach(), *(torch.zeros(1) if grad is None else grad for grad in gradients)]


@pytest.mark.parametrize(
    ("sampler", "loss"),
    [(sampler, "bpr") for sampler in plugin_names("dtlns.samplers")]
    + [("uniform", loss) for loss in plugin_names("dtlns.losses")],
)
def test_a_process_without_a_share_of_the_last_batch_adds_nothing(sampler: str, loss: str) -> None:
    whole = last_batch(sampler, loss, ALONE)
    shares = zip(*(last_batch(sampler, loss, Processes(rank, 2)) for rank in (0, 1)), strict=True)
    for alone, (first, second) in zip(whole, shares, strict=True):
        torch.testing.assert_close((first + second) / 2, alone)


def test_on_a_gpu_who_has_everything_is_named_before_the_run() -> None:
    observed = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    pairs = Pairs.build(TrainView.from_csr(sp.csr_array(observed)), TrainConfig(), None)
    with pytest.raises(InputError, match="user 1 has no item left"):
        Batches(pairs, TrainConfig(), torch.device("meta"))  # no GPU either


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretend to be the second of two processes, and note what is asked of PyTorch."""
    noted: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *args: noted.append(" ".join([name, *map(str, args)]))

    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "set_device", note("device"))
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(distributed, name, note(name.partition("_")[0]))
    for name, value in (("is_initialized", False), ("get_rank", 1), ("get_world_size", 2)):
        monkeypatch.setattr(distributed, name, lambda value=value: value)
    return noted


def test_each_process_has_a_gpu_of_its_own(calls: list[str]) -> None:
    with processes(torch.device("cuda:1")) as group:
        assert (group.rank, group.size) == (1, 2)
    assert calls == ["device cuda:1", "init nccl", "destroy"]


@pytest.mark.parametrize(("device", "last"), [("cpu", "destroy"), ("cuda:1", "init nccl")])
def test_after_an_error_nobody_waits_for_the_others(device: str, last: str, calls: list[str]) -> None:
    with pytest.raises(MemoryError), processes(torch.device(device)):
        raise MemoryError
    assert calls[-1] == last


def test_fewer_users_than_processes_are_rated_by_each() -> None:
    loop = Loop.__new__(Loop)
    loop.processes = Processes(2, 3)
    assert [loop._share_of_users(n) for n in (2, 3)] == [slice(None), slice(2, 3)]
