"""The engine ray with a cluster that is none: what is handed to Ray, and what comes back."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_engines import YES_NO, FakeLLM, save_model, some_prompts

from dtlns.errors import ConfigError, JudgeError
from dtlns.judges.llm.base import Answer, Failure, Prompt
from dtlns.judges.llm.engines.ray import RayEngine


class RayError(Exception):
    """What Ray raises, with what a replica raised as its cause."""

    def __init__(self, text: str, cause: Exception | None = None) -> None:
        super().__init__(text)
        self.cause = cause


class Data:
    """Blocks of rows, as `ray.data.Dataset`; the last block is the first to end."""

    def __init__(self, cluster: FakeRay, rows: list[dict[str, Any]], blocks: int) -> None:
        self.cluster, self.blocks = cluster, np.array_split(np.array(rows, dtype=object), blocks)

    def map_batches(self, kind: Any, *, fn_constructor_args: Any, batch_size: None, **how: Any) -> Data:
        self.cluster.asked_for.append(how | {"blocks": [len(block) for block in self.blocks]})
        self.replica, self.arguments = kind, fn_constructor_args
        return self

    def iter_batches(self, **_: Any) -> Iterator[dict[str, Any]]:
        replica = self.cluster.run(lambda: self.replica(*self.arguments))
        for block in reversed(self.blocks):
            yield replica({name: np.array([row[name] for row in block]) for name in block[0]})


class FakeRay(ModuleType):
    """As much of Ray as the engine uses, in this process."""

    def __init__(self, gpus: float) -> None:
        super().__init__("ray")
        self.asked_for: list[dict[str, Any]] = []
        self.there = False
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.cluster_resources = lambda: {"CPU": 2.0, "GPU": gpus}
        context = SimpleNamespace(get_current=SimpleNamespace)
        self.data = ModuleType("ray.data")
        vars(self.data).update(
            from_items=lambda rows, override_num_blocks: Data(self, rows, override_num_blocks),
            ActorPoolStrategy=SimpleNamespace,
            DataContext=context,
        )

    def is_initialized(self) -> bool:
        return self.there

    def init(self, **_: Any) -> None:
        self.there = True

    def shutdown(self) -> None:
        self.there = False

    def remote(self, **how: Any) -> Any:
        self.asked_for.append(how)
        return lambda function: SimpleNamespace(remote=lambda *words: (function, words))

    def get(self, task: Any) -> Any:
        function, words = task
        return self.run(lambda: function(*words))

    @staticmethod
    def run(work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            raise RayError("a worker failed", error) from None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay(gpus=0)
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.data", fake.data)
    vllm = SimpleNamespace(LLM=FakeLLM, SamplingParams=SimpleNamespace, __version__="9")
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), weights=False)


def test_blocks_go_to_replicas_and_answers_are_those_of_vllm(cluster: FakeRay, folder: Path) -> None:
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    prompts = [*some_prompts(), Prompt("rules", "</s>")]
    engine = RayEngine(str(folder), labels=YES_NO, replicas=2, block=5, gpus=0, kv_cache_dtype="fp8")
    alone = VLLMEngine(str(folder), labels=YES_NO, kv_cache_dtype="fp8")
    assert engine.identity == alone.identity
    assert engine.count_tokens(prompts[:2]) == alone.count_tokens(prompts[:2])
    outcomes = list(engine.ask(prompts))
    assert dict(outcomes) == dict(alone.ask(prompts))
    assert isinstance(dict(outcomes)[len(prompts) - 1], Failure)
    assert outcomes[0][0] > outcomes[-1][0]  # in the order in which blocks end
    assert isinstance(dict(outcomes)[0], Answer)
    asked = cluster.asked_for[-1]
    assert max(asked["blocks"]) <= 5
    assert asked["compute"].size == 2
    assert (asked["num_gpus"], asked["num_cpus"]) == (0, 1.0)
    assert list(engine.ask([])) == []
    engine.close()
    assert not cluster.there


def test_a_wish_to_stop_ends_the_asking_after_a_block(cluster: FakeRay, folder: Path) -> None:
    engine = RayEngine(str(folder), labels=YES_NO, block=4, gpus=0)
    prompts = some_prompts()
    seen = []
    for at, _ in engine.ask(prompts):
        seen.append(at)
        engine.stop()
    assert seen == list(range(len(prompts) - 4, len(prompts)))


def test_gpus_follow_the_parallel_sizes_and_too_few_are_told(
    cluster: FakeRay, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = RayEngine(str(folder), labels=YES_NO, tensor_parallel_size=2)
    with caplog.at_level(logging.WARNING, "dtlns"):
        engine.check()
    assert cluster.asked_for[0]["num_gpus"] == 2
    assert "has 0 GPUs and a replica takes 2" in caplog.text


def test_what_a_replica_says_is_the_error(cluster: FakeRay, folder: Path) -> None:
    engine = RayEngine(str(folder), labels=YES_NO, gpus=0)
    engine.check()
    sys.modules["vllm"].__version__ = "10"  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="a replica's versions"):
        list(engine.ask(some_prompts()))
    cluster.get = lambda _: cluster.run(lambda: 1 / 0)  # type: ignore[method-assign]
    with pytest.raises(JudgeError, match="the Ray job failed: a worker failed"):
        RayEngine(str(folder), labels=YES_NO, gpus=0).check()
