"""The search: what is proposed, pruned, failed, repeated, and gone on with."""

from __future__ import annotations

import importlib
import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import scipy.sparse as sp

from dtlns.data.views import TrainView, ValidView
from dtlns.errors import ArtifactError, ConfigError, InputError, TrainingError
from dtlns.evaluation.selector import Selector
from dtlns.models.popularity import Popularity
from dtlns.models.registry import build_model
from dtlns.recipe import Recipe
from dtlns.search import study
from dtlns.search.record import Proposal
from dtlns.search.study import tune
from dtlns.search.trials import SearchResult, Trial
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

TRAIN = TrainView.from_csr(sp.csr_array(np.random.default_rng(0).random((30, 12)) < 0.3))
VALID = ValidView(np.arange(31), np.full(30, 5, np.uint32), 12)
SELECTOR = Selector(TRAIN, VALID, "ndcg@5")
BASE = Recipe(
    train=TrainConfig(
        model=ModelConfig(name="mf"), sampler=SamplerConfig(name="dns"), epochs=20, validate_every=2
    )
)
SPACE: dict[str, Any] = {
    "train.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "train.sampler.candidates": [2, 4, 8, 16],
}


def quality(settings: TrainConfig) -> float:
    """Best at a learning rate of 0.01 with 8 candidates."""
    far = abs(math.log10(settings.learning_rate) + 2) + abs(math.log2(settings.sampler.candidates / 8)) / 4
    return 1 / (1 + far)


class Trainer:
    """Stands for training: the validation value rises towards the settings' quality."""

    def __init__(self, fails: Callable[[TrainConfig], bool] = lambda _: False) -> None:
        self.seen: list[TrainConfig] = []
        self.fails = fails
        self.stop: tuple[int, int, BaseException] | None = (
            None  # trial of this trainer, epoch, what is raised
        )

    def __call__(self, _: TrainView, settings: TrainConfig, *, progress: Any, **__: Any) -> TrainedModel:
        self.seen.append(settings)
        best = 0.0
        for epoch in range(1, settings.epochs + 1):
            value = None
            if epoch % settings.validate_every == 0:
                value = best = quality(settings) * (1 - 2.0**-epoch)
            if self.stop is not None and (len(self.seen), epoch) == self.stop[:2]:
                raise self.stop[2]
            if epoch == 4 and self.fails(settings):
                raise TrainingError("the loss is nan", hint="use a smaller learning rate")
            left = float(settings.epochs - epoch)
            progress(Progress(epoch, settings.epochs, 0.5, "ndcg@5", value, best, epoch, 1.0, left))
        return TrainedModel(scorer=Popularity.build(ModelConfig(), TRAIN), metric="ndcg@5", best_value=best)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    found = Trainer()
    monkeypatch.setattr(study, "fit", found)
    return found


def search(**changes: Any) -> SearchResult:
    return tune(TRAIN, SELECTOR, BASE, changes.pop("space", SPACE), **changes)


def table(result: SearchResult) -> list[tuple[Any, ...]]:
    """Everything but the seconds."""
    return [
        (trial.number, dict(trial.point), trial.state, dict(trial.curve), trial.repeats, trial.failure)
        for trial in result.trials
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_a_known_optimum(trainer: Trainer, seed: int) -> None:
    result = search(trials=40, seed=seed)
    assert result.best is not None
    best = result.recipe(result.best)
    assert 0.005 < best.train.learning_rate < 0.02
    assert best.train.sampler.candidates == 8
    assert best.metric == "ndcg@5"
    assert best.train.model_copy(update={"learning_rate": 1e-3, "sampler": BASE.train.sampler}) == BASE.train


def test_a_small_space_is_tried_out_and_values_are_those_of_the_selector() -> None:
    base = Recipe(train=TrainConfig(model=ModelConfig(name="itemknn", options={"shrinkage": 1.0})))
    space = {
        "train.model.options.neighbours": {"low": 2, "high": 6, "step": 2},
        "train.model.options.similarity": ["cosine", "jaccard"],
    }
    result = tune(TRAIN, SELECTOR, base, space, trials=6)
    expected = {}
    for neighbours, similarity in itertools.product((2, 4, 6), ("cosine", "jaccard")):
        options = {"neighbours": neighbours, "similarity": similarity, "shrinkage": 1.0}
        expected[neighbours, similarity] = SELECTOR(
            build_model(ModelConfig(name="itemknn", options=options), TRAIN)
        )  # type: ignore[arg-type]
    assert {tuple(trial.point.values()): trial.value for trial in result.trials} == expected
    assert result.best is not None
    assert result.best.value == max(expected.values())
    assert result.best.best_epoch == 0


def test_trials_depend_on_the_seed_and_more_of_them_go_on(trainer: Trainer, tmp_path: Path) -> None:
    few = search(trials=12, seed=3)
    assert table(search(trials=12, seed=3)) == table(few)
    assert table(search(trials=12, seed=4)) != table(few)
    search(trials=5, seed=3, folder=tmp_path)
    done = len(trainer.seen)
    assert table(search(trials=5, seed=3, folder=tmp_path))[-1][0] == 5
    assert len(trainer.seen) == done
    assert table(search(trials=12, seed=3, folder=tmp_path)) == table(few)


@pytest.mark.parametrize("what", [KeyboardInterrupt(), SystemExit(143), InputError("a bug")])
def test_an_interrupted_search_goes_on_to_the_same_trials(
    trainer: Trainer, tmp_path: Path, what: BaseException
) -> None:
    whole = search(trials=15)
    for trial, epoch in ((3, 1), (2, 4), (9, 2)):
        trainer.seen.clear()
        trainer.stop = (trial, epoch, what)
        with pytest.raises(type(what)):
            search(trials=15, folder=tmp_path)
    trainer.stop = None
    trainer.seen.clear()
    assert table(search(trials=15, folder=tmp_path)) == table(whole)
    assert len(trainer.seen) == 15 - 2 - 1 - 8


def test_pruning_follows_the_rule_of_the_median(trainer: Trainer) -> None:
    result = search(trials=40)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    for trial in result.trials:
        earlier = [
            other for other in result.trials if other.number < trial.number and other.state == "complete"
        ]
        for epoch in trial.curve:
            others = [other.curve[epoch] for other in earlier]
            best = max(value for at, value in trial.curve.items() if at <= epoch)
            hopeless = len(others) >= 5 and epoch >= 6 and best < np.median(others)
            last = epoch == max(trial.curve)
            # the last epoch is the end in any case
            assert hopeless == (trial.state == "pruned" and last) or epoch == 20
    assert all(trial.state == "complete" for trial in search(trials=40, pruning=False).trials)


def test_training_that_cannot_go_on_is_a_failed_trial(trainer: Trainer, tmp_path: Path) -> None:
    trainer.fails = lambda settings: settings.learning_rate > 0.1
    result = search(trials=20, folder=tmp_path)
    failed = [trial for trial in result.trials if trial.point["train.learning_rate"] > 0.1]
    assert failed
    assert all(
        (trial.state, trial.value, trial.failure) == ("failed", None, "the loss is nan") for trial in failed
    )
    assert all(trial.failure is None for trial in result.trials if trial not in failed)
    trainer.seen.clear()
    assert table(search(trials=20, folder=tmp_path)) == table(result)
    assert not trainer.seen
    trainer.fails = lambda _: True
    with pytest.raises(TrainingError, match="all 3 trials failed, the first with: the loss is nan"):
        search(trials=3)


def test_a_point_is_not_trained_twice(trainer: Trainer, tmp_path: Path) -> None:
    space = {"train.sampler.candidates": list(range(1, 14))}
    trainer.fails = lambda settings: settings.sampler.candidates in (3, 9)
    result = search(trials=12, folder=tmp_path, space=space)
    repeats = [trial for trial in result.trials if trial.repeats is not None]
    assert repeats
    assert len(trainer.seen) == 12 - len(repeats)
    for trial in repeats:
        first = result.trials[(trial.repeats or 0) - 1]
        assert (trial.point, trial.state, trial.curve, trial.failure, trial.seconds) == (
            first.point, first.state, first.curve, first.failure, 0.0
        )  # fmt: skip
        assert (first.repeats, first.number < trial.number) == (None, True)
    assert table(search(trials=12, folder=tmp_path, space=space)) == table(result)


def test_another_search_is_not_gone_on_with(trainer: Trainer, tmp_path: Path) -> None:
    search(trials=2, folder=tmp_path)
    narrow = SPACE | {"train.learning_rate": {"low": 1e-3, "high": 1.0, "log": True}}
    with pytest.raises(
        ConfigError, match=r"other settings: space\.train\.learning_rate\.low was 0\.0001, is 0\.001 · hint"
    ):
        search(folder=tmp_path, space=narrow)
    with pytest.raises(ConfigError, match="seed was 0, is 1"):
        search(folder=tmp_path, seed=1)
    other = BASE.model_copy(update={"train": BASE.train.model_copy(update={"batch_size": 7})})
    with pytest.raises(ConfigError, match=r"train\.batch_size was 2048, is 7"):
        tune(TRAIN, SELECTOR, other, SPACE, folder=tmp_path)
    train = TrainView.from_csr(sp.csr_array(np.random.default_rng(1).random((30, 12)) < 0.3))
    with pytest.raises(ConfigError, match=r"train_view was \w+, is "):
        tune(train, Selector(train, VALID, "ndcg@5"), BASE, SPACE, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"selector was ndcg@5 \w+, is recall@5 "):
        tune(TRAIN, Selector(TRAIN, VALID, "recall@5"), BASE, SPACE, folder=tmp_path)
    assert len(search(trials=2, folder=tmp_path).trials) == 2


def test_a_damaged_file_is_named(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database " * 100)
    with pytest.raises(ArtifactError, match=r"study\.db cannot be used \(file is not a database\)"):
        search(folder=tmp_path)


def test_paths_may_have_any_characters(trainer: Trainer, tmp_path: Path) -> None:
    folder = tmp_path / "a {b}?c=%20#d"
    folder.mkdir()
    assert len(search(trials=2, folder=folder).trials) == 2
    assert [file.name for file in folder.iterdir()] == ["study.db"]


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "dtlns.search.record")
    with pytest.raises(ConfigError, match=r"a search needs Optuna · hint: pip install 'dtlns\[tune\]'"):
        importlib.import_module("dtlns.search.record")


def test_a_timeout_ends_the_search_after_a_trial(trainer: Trainer) -> None:
    assert len(search(trials=30, timeout=1e-9).trials) == 1
    with pytest.raises(InputError, match="trials is 0"):
        search(trials=0)


def test_importance_says_what_matters(trainer: Trainer) -> None:
    assert search(trials=8).importance is None
    space = SPACE | {"train.batch_size": {"low": 10, "high": 10_000}}
    share = search(trials=60, space=space, pruning=False).importance
    assert share is not None
    assert sum(share.values()) == pytest.approx(1)
    assert share["train.learning_rate"] > share["train.batch_size"]


def test_callbacks_see_epochs_and_trials(trainer: Trainer) -> None:
    epochs: list[tuple[int, Progress]] = []
    ended: list[SearchResult] = []
    result = search(trials=15, progress=lambda *told: epochs.append(told), ended=ended.append)
    assert [len(state.trials) for state in ended] == list(range(1, 16))
    assert ended[-1].trials == result.trials
    for trial in result.trials:
        told = [state for number, state in epochs if number == trial.number]
        assert [state.epoch for state in told] == list(range(1, len(told) + 1))
        assert {state.epoch: state.value for state in told if state.value is not None} == trial.curve
        assert told[-1].seconds_left == 0.0  # pruned ones as well


def test_nothing_global_is_touched(trainer: Trainer) -> None:
    before, verbosity = np.random.get_state()[1].tolist(), optuna.logging.get_verbosity()  # noqa: NPY002
    search(trials=15)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert optuna.logging.get_verbosity() == verbosity


def test_real_training_stops_fails_and_gives_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Recipe(
        train=TrainConfig(
            model=ModelConfig(name="mf", dimensions=4), sampler=SamplerConfig(name="dns", candidates=2),
            epochs=4, batch_size=64, validate_every=1,
        )
    )  # fmt: skip
    space = {"train.learning_rate": [0.01, 0.02, 1e37, 0.03]}
    monkeypatch.setattr(Proposal, "hopeless", lambda proposal: proposal.number == 2)
    result = tune(TRAIN, SELECTOR, base, space, device="cpu")
    assert [trial.state for trial in result.trials] == ["complete", "pruned", "failed", "complete"]
    assert [len(trial.curve) for trial in result.trials] == [4, 1, 0, 4]
    assert "the loss is nan in epoch 1" in (result.trials[2].failure or "")
    for trial in (result.trials[0], result.trials[3]):
        again = study.fit(TRAIN, result.recipe(trial).train, selector=SELECTOR, device="cpu")
        assert (again.best_value, again.best_epoch) == (trial.value, trial.best_epoch)


def test_the_best_is_complete_and_the_first_of_equals() -> None:
    trials = tuple(
        Trial(number, {}, state, {1: value}, 0.0)  # type: ignore[arg-type]
        for number, (state, value) in enumerate(
            [("pruned", 0.9), ("complete", 0.3), ("failed", 0.8), ("complete", 0.3)], 1
        )
    )
    best = SearchResult("recall@20", BASE, {}, trials).best
    assert best is not None
    assert best.number == 2
    assert SearchResult("recall@20", BASE, {}, trials[:1]).best is None
