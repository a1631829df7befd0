"""A small comparison from end to end: what it makes, what it keeps, what it survives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from dtlns.artifacts import load_arrays
from dtlns.comparison.config import CompareConfig
from dtlns.comparison.grid import Variant, expand
from dtlns.comparison.runner import compare
from dtlns.comparison.table import render
from dtlns.comparison.work import Place, evaluate_row, make_upstream, need_of, prepare, train_row
from dtlns.data.planted import PlantedSettings, plant
from dtlns.errors import ConfigError, TrainingError
from dtlns.evaluation.metrics import METRICS
from dtlns.judges.prefix import PrefixJudge
from dtlns.lock import alone

QUICK = {"epochs": 4, "batch_size": 512, "learning_rate": 0.01}
PLAIN = {"model": "mf", "sampler": "mixgcf"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = PlantedSettings(users=150, branching=3, leaf_size=8, interactions=14)
    return plant(tmp_path_factory.mktemp("planted") / "world", world, seed=0).path


def config(data: Path, *rows: dict[str, object], **more: object) -> CompareConfig:
    pretrain = QUICK | {"model": {"name": "mf"}, "sampler": {"name": "uniform"}}
    given = {
        "data": str(data),
        "seeds": [0, 1],
        "baseline": "mf mixgcf",
        "pretrain": pretrain,
        "train": QUICK | {"validate_every": 2},
        "rows": rows,
    }
    return CompareConfig.model_validate(given | more)


@pytest.mark.slow
def test_a_table_of_everything(data: Path, tmp_path: Path) -> None:
    controls = ["none", "random-codes", "oracle"]
    settings = config(
        data,
        {"model": ["popularity", "itemknn"]},
        PLAIN | {"noise": [0.0, 0.2]},
        PLAIN | {"multi_view": True, "false_negatives": "weighted", "control": controls},
    )
    out = tmp_path / "table"
    results = compare(settings, out, jobs=2)
    assert results["failures"] == []
    rows = {row["name"]: row for row in results["rows"]}
    assert len(rows) == 2 + 2 + len(controls)
    # the mean and spread by hand, from the files that were written
    for name, row in rows.items():
        values = [
            load_arrays(out / "evaluations" / row["folder"] / f"seed-{seed}" / "test.safetensors")[
                "recall@20"
            ]
            for seed in row["seeds"]["done"]
        ]
        assert row["mean"]["recall@20"] == pytest.approx(np.mean(values)), name
        if len(values) == 1:
            assert row["sd"]["recall@20"] is None
        else:
            one, two = (np.mean(value) for value in values)
            assert row["sd"]["recall@20"] == pytest.approx(abs(one - two) / np.sqrt(2))
    assert rows["popularity"]["seeds"]["done"] == [0]
    # the oracle knows what is liked, and its row says so
    assert (
        rows["mf mixgcf +views weighted [oracle]"]["mean"]["recall@20"]
        > rows["mf mixgcf"]["mean"]["recall@20"]
    )
    # each data variant has its baseline, which is compared with nothing
    assert rows["mf mixgcf"]["against_baseline"] == rows["mf mixgcf (noise 0.2)"]["against_baseline"] == {}
    assert results["tests"]["cells"] == 2 * (len(rows) - 2)
    text = (out / "table.md").read_text()
    assert text == render(json.loads((out / "results.json").read_bytes())) + "\n"
    assert all(f"| {name} " in text for name in rows)

    # the same call again makes nothing, and says the same
    def stamps() -> dict[str, int]:
        return {str(file): file.stat().st_mtime_ns for file in out.rglob("manifest.json")}

    before = stamps()
    again = compare(settings, out, jobs=1)
    assert stamps() == before
    assert again == results

    # a lost run is made again, alone, to the same values
    gone = out / "models" / rows["mf mixgcf"]["folder"] / "seed-1" / "manifest.json"
    content = gone.read_bytes()
    shutil.rmtree(gone.parent)
    once_more = compare(settings, out, jobs=2)
    assert gone.read_bytes() == content
    changed = {file for file, stamp in stamps().items() if before[file] != stamp}
    assert changed == {str(gone)}
    assert [row["mean"] for row in once_more["rows"]] == [row["mean"] for row in results["rows"]]


def test_split_and_noisy_data_follow_the_data_and_the_settings(data: Path, tmp_path: Path) -> None:
    """What a comparison made of its data is made again when they, or how they are split, are others."""
    place, noisy = Place(tmp_path, data), Variant("random", 0.2)
    first = prepare(place, config(data, PLAIN), noisy, 1)
    drawn = [first.train.digest]  # read now: the folder is replaced below
    stamp = (first.path / "manifest.json").stat().st_mtime_ns
    assert prepare(place, config(data, PLAIN), noisy, 1).digest == first.digest
    assert (first.path / "manifest.json").stat().st_mtime_ns == stamp

    other_split = config(data, PLAIN, split={"test": 0.4, "seed": 3})
    clean = prepare(place, other_split, Variant("random"), 1)
    assert clean.split is not None
    assert (clean.split["test"], clean.split["seed"]) == (0.4, 3)
    second = prepare(place, other_split, noisy, 1)
    assert second.artifact.manifest["inputs"]["dataset"] == clean.digest
    drawn.append(second.train.digest)

    world = PlantedSettings(users=150, branching=3, leaf_size=8, interactions=14)
    elsewhere = Place(tmp_path, plant(tmp_path / "world", world, seed=1).path)
    drawn.append(prepare(elsewhere, other_split, noisy, 1).train.digest)
    assert len(set(drawn)) == 3


def test_a_judge_that_cannot_start_fails_before_the_pretraining_and_is_closed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(PrefixJudge):
        """A judge whose model is not there."""

        told: ClassVar[list[str]] = []

        def prepare(self) -> None:
            self.told.append("prepare")
            raise ConfigError("there is no model")

        def close(self) -> None:
            self.told.append("close")

    monkeypatch.setattr("dtlns.judges.registry.load_plugin", lambda group, name: Absent)
    settings = config(data, PLAIN | {"false_negatives": "weighted"}, baseline="mf mixgcf weighted")
    (row,) = expand(settings)
    need, place = need_of(row), Place(tmp_path, data)
    failures = make_upstream(place, settings, row.variant, 0, [need], "cpu")
    assert failures == {need: "ConfigError: there is no model"}
    assert Absent.told == ["prepare", "close"]
    assert not (place.upstream(row.variant, 0) / "pretrained").exists()


def test_what_is_measured_decides_whether_an_evaluation_is_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, place = config(data, {"model": "popularity"}, baseline="popularity"), Place(tmp_path, data)
    (row,) = expand(settings)
    train_row(place, settings, row, 0, "cpu")
    file = place.evaluation(row, 0) / "manifest.json"

    def measured() -> int:
        evaluate_row(place, settings, row, 0)
        return file.stat().st_mtime_ns

    first = measured()
    assert measured() == first
    monkeypatch.setattr("dtlns.comparison.work.METRICS", (*METRICS, "another"))
    assert measured() > first


def test_a_failing_run_is_told_and_the_others_go_on(data: Path, tmp_path: Path) -> None:
    settings = config(
        data,
        PLAIN,
        PLAIN | {"multi_view": True},
        {"model": "popularity"},
        pretrain=QUICK | {"model": {"name": "mf"}, "sampler": {"name": "uniform"}, "learning_rate": 1e30},
    )
    results = compare(settings, tmp_path / "table")
    assert {(one["row"], one["seed"]) for one in results["failures"]} == {
        ("mf mixgcf +views", 0),
        ("mf mixgcf +views", 1),
    }
    assert {one["why"].split(":")[0] for one in results["failures"]} == {"TrainingError"}
    done = {row["name"]: row["seeds"]["done"] for row in results["rows"]}
    assert done == {"mf mixgcf": [0, 1], "mf mixgcf +views": [], "popularity": [0]}
    text = render(results)
    assert "failed: mf mixgcf +views, seed 0" in text
    assert results["tests"]["cells"] == 2


def test_too_little_memory_is_said(data: Path, tmp_path: Path) -> None:
    settings = config(data, PLAIN, memory_gb=0.05)
    with pytest.raises(TrainingError, match=r"all 2 runs failed.*(memory|SIG|0\.05 GB)"):
        compare(settings, tmp_path / "table")


def test_the_test_split_is_opened_when_all_is_trained(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs are done in two rounds: no evaluation before the last training."""
    from dtlns.comparison import runner

    order: list[str] = []

    def noting(jobs: list[runner.Job], **_: object) -> object:
        for job in jobs:
            order.append(job.work.__name__)
            yield runner.Outcome(job, job.work(*job.arguments), None, 0.0)

    monkeypatch.setattr(runner, "run_jobs", noting)
    compare(config(data, PLAIN, {"model": "popularity"}), tmp_path / "table")
    assert order == ["train_row"] * 3 + ["evaluate_row"] * 3


def test_a_folder_of_something_else_is_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match="holds a data set or an artefact"):
        compare(config(data, PLAIN), data)


def test_judges_have_their_options_by_name_and_they_are_checked_before_any_work(
    data: Path, tmp_path: Path
) -> None:
    row = PLAIN | {"false_negatives": "weighted", "judge": ["prefix", "llm"]}
    options = {"engine": "replay", "model": "answers.jsonl", "template": "full-1"}
    settings = config(data, PLAIN, row, judges={"llm": options})
    assert settings.judge("llm").options == options
    assert settings.judge("prefix").options == {}
    wrong = config(data, PLAIN, row, judges={"llm": options | {"engine": "telepathy"}})
    with pytest.raises(ConfigError, match="engine = 'telepathy'"):
        compare(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"that a row names, which are \['prefix'\], not 'llm'"):
        config(data, PLAIN, judges={"llm": options})


def test_one_process_works_in_a_folder_at_a_time(data: Path, tmp_path: Path) -> None:
    settings = config(data, {"model": "popularity"}, baseline="popularity")
    with alone(tmp_path), pytest.raises(ConfigError, match="another process works in"):
        compare(settings, tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert compare(settings, tmp_path, jobs=7)["failures"] == []
