"""Plug-ins: judges by the check suite, options that nobody reads, and what is no plug-in at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dtlns.errors import ConfigError
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.base import Answer, Prompt
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.prefix import PrefixJudge
from dtlns.models.registry import build_model
from dtlns.plugins import plugin_names
from dtlns.samplers.registry import build_sampler
from dtlns.testing.checks import check_judge
from dtlns.testing.checks.world import world
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig


@pytest.mark.parametrize("name", sorted({*plugin_names("dtlns.judges")} - {"llm"}))
def test_registered_judges(name: str) -> None:
    check_judge(name)


class Reader:
    """An engine that says how many characters a prompt has, and how many slashes."""

    identity = {"engine": "reader"}  # noqa: RUF012

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(prompt.user) for prompt in prompts]

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer]]:
        for at, prompt in enumerate(prompts):
            yield at, Answer(len(prompt.user) + prompt.user.count("/") / 100, True, 1, None)

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("band", [None, (0.5, 2.5)])
def test_the_judge_that_needs_a_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, band: tuple[float, float] | None
) -> None:
    monkeypatch.setattr("dtlns.judges.llm.judge.start_engine", lambda *_: Reader())
    check_judge(lambda: LLMJudge(engine="replay", model="none", answers=tmp_path / "answers", band=band))


def upper_tenth(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Look at some pairs alone, and which ones depends on the others."""
    bits = scores.sum(axis=1, keepdims=True)
    return np.where(bits > np.quantile(bits, 0.9), scores, np.float32(np.nan)).astype(np.float32)


def judge(change: Callable[[NDArray[np.float32]], Any], **other: Any) -> Callable[[], Any]:
    """Make a prefix judge whose scores are changed on the way out."""

    class Changed(PrefixJudge):
        def score(self, request: JudgeRequest) -> Any:
            return change(super().score(request))

    return lambda: SimpleNamespace(name="changed", columns=Changed().columns, score=Changed().score, **other)


def unkeyed() -> Any:
    rng = np.random.default_rng()
    return judge(lambda scores: (scores + rng.random(scores.shape)).astype(np.float32))()


class Twice(PrefixJudge):
    def columns(self, request: JudgeRequest) -> list[str]:
        return ["prefix"] * len(request.codes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (judge(lambda scores: scores.astype(np.float64)), "scores are float64"),
        (judge(lambda scores: scores[:, :1]), r"not float32 \(\d+, 2\)"),
        (judge(lambda scores: scores * np.float32(np.nan)), "a score is not finite"),
        (judge(lambda scores: scores - scores.mean(axis=0)), "depends on the number of the candidates"),
        (judge(lambda s: s + np.arange(len(s), dtype=np.float32)[:, None]), "depends on the order"),
        (unkeyed, "the same request gives other scores"),
        (Twice, "not different names"),
        (judge(upper_tenth), "a score is not finite"),
        (judge(upper_tenth, partial_columns=["structural", "semantic"]), "depends on the number"),
    ],
)
def test_broken_judges_fail(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_judge(make)


def test_options_that_nobody_reads_are_refused() -> None:
    with pytest.raises(ConfigError, match="sampler 'dns' has no option 'beta' · allowed: no options"):
        build_sampler(TrainConfig(sampler=SamplerConfig(name="dns", options={"beta": 1})), world(), {})
    with pytest.raises(
        ConfigError, match="model 'itemknn' has no option 'k' · allowed: similarity, neighbours, shrinkage"
    ):
        build_model(ModelConfig(name="itemknn", options={"k": 1}), world())


def test_what_is_no_plugin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in ("samplers", "models"):
        monkeypatch.setattr(f"dtlns.{registry}.registry.load_plugin", lambda *_: dict)
    with pytest.raises(ConfigError, match="sampler 'odd' is <class 'dict'>"):
        build_sampler(TrainConfig(sampler=SamplerConfig(name="odd")), world(), {})
    with pytest.raises(ConfigError, match="model 'odd' is <class 'dict'>"):
        build_model(ModelConfig(name="odd"), world())
