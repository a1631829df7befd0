"""`dtlns run --recipe best`: what it prints, what it chooses, and that it goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_command import call, planted

from dtlns import best_recipe
from dtlns.config import BestConfig
from dtlns.data.dataset import load_dataset
from dtlns.errors import TrainingError
from dtlns.models.registry import load_scorer
from dtlns.run_file import load_run_config
from dtlns.stages.evaluation import chosen_model
from dtlns.stages.training import write_model
from dtlns.training.memory import memory_named

TOML = """
recipe = "best"
data = "data"
hidings = 2
use_trees = false
trial = 0.5

[train]
epochs = 4
validate_every = 2
batch_size = 1024
"""

Told = tuple[Path, str, dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    pytest.importorskip("implicit", reason="the recipe pretrains with implicit")
    base = tmp_path_factory.mktemp("best")
    planted(base)
    (base / "best.toml").write_text(TOML)
    status, shown, errors = call("run", base / "best.toml", "-o", base / "run", "--device", "cpu")
    assert status == 0, errors
    return base / "run", shown, json.loads((base / "run" / "results.json").read_text())


def again(told: Told, base: Path, settings: str) -> Path:
    """Copy the run and its data, with settings that may be others; return the copy of the run's folder."""
    (base / "best.toml").write_text(settings)
    shutil.copytree(told[0].parent / "data", base / "data")
    return shutil.copytree(told[0], base / "run")


def failing(name: str) -> Callable[..., Any]:
    """Return what trains models, and fails with one of them."""

    def train(out: Path, *given: Any, **more: Any) -> Any:
        if out.name == name:
            raise TrainingError("the loss is nan")
        return write_model(out, *given, **more)

    return train


@pytest.mark.slow
def test_it_says_what_it_chose_and_why(told: Told) -> None:
    _, shown, results = told
    assert len(results["why"]) >= 2
    assert all(reason in shown for reason in results["why"])
    names = [row["name"] for row in results["rows"]]
    assert names[0] == "mf, shared-uniform"
    assert {"prior alone", "mf, shared-uniform + prior", "popularity", "ItemKNN (cosine), not tuned"} <= set(
        names
    )
    valid = {row["folder"]: row["result"]["valid"]["ndcg@20"] for row in results["rows"]}
    assert valid[results["chosen"]] == max(valid.values())


@pytest.mark.slow
def test_the_chosen_model_is_the_one_that_evaluate_measures(told: Told) -> None:
    run, _, results = told
    row = next(row for row in results["rows"] if row["folder"] == results["chosen"])
    _, shown, _ = call("evaluate", run, "--json")
    assert json.loads(shown)["test"]["recall@20"] == row["result"]["test"]["recall@20"]
    assert chosen_model(run) == run / results["chosen"]


@pytest.mark.slow
def test_recommend_lists_what_the_chosen_model_ranks(told: Told) -> None:
    run, _, _ = told
    data = load_dataset(run.parent / "data")
    status, shown, _ = call("recommend", run, "-k", 3, "--user", data.users["id"][0], "--format", "jsonl")
    assert status == 0
    scores = load_scorer(chosen_model(run) or run).score(np.array([0]))[0]
    scores[data.train.indices[data.train.indptr[0] : data.train.indptr[1]]] = -np.inf
    best = np.argsort(-scores, kind="stable")[:3]
    listed = [json.loads(line)["item"] for line in shown.splitlines()]
    assert listed == [data.items["id"][int(item)] for item in best]


@pytest.mark.slow
def test_where_no_arm_wins_no_model_of_one_that_won_is_left(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mine = again(told, tmp_path, TOML), tmp_path / "run" / "models" / "mine"
    train = ["train", tmp_path / "data", "-o", mine, "--model", "popularity"]
    assert call(*train)[0] == 0
    for wins in (True, False):
        monkeypatch.setattr(best_recipe, "better", lambda one, other, wins=wins: wins)
        status, shown, errors = call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")
        assert status == 0, errors
        assert ("training with false negatives is not better than without" in shown) != wins
        results = json.loads((run / "results.json").read_text())
        assert any("false negatives" in row["name"] for row in results["rows"]) == wins
        assert {(run / "models" / name).exists() for name in ("host", "host-prior")} == {wins}
        assert mine.exists()


@pytest.mark.slow
def test_an_arm_that_diverges_is_out_of_the_race(told: Told, tmp_path: Path) -> None:
    arms = "[[arms]]\nscale = 1.0\ntemperature = 1e-40\n[[arms]]\nweight = 0.5\n"
    run = again(told, tmp_path, TOML + arms)
    status, shown, errors = call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")
    assert status == 0, errors
    assert "best20-c1-t1e-40 is out of the race: the loss is " in shown
    assert "best20-w0.5 0." in shown
    assert not list((run / "models").glob("best20-c1-t1e-40*"))


@pytest.mark.slow
def test_a_plain_host_that_diverges_ends_the_run(told: Told, tmp_path: Path) -> None:
    run = again(told, tmp_path, TOML + "loss = {name = 'softmax', options = {temperature = 1e-40}}\n")
    status, _, errors = call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")
    assert status == 1
    assert "error: the loss is " in errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["longer", "host"])
def test_what_goes_on_and_diverges_leaves_the_model_that_it_started_from(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = again(told, tmp_path, TOML)
    monkeypatch.setattr(best_recipe, "better", lambda one, other: True)
    monkeypatch.setattr(best_recipe, "write_model", failing(name))
    status, shown, errors = call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")
    assert status == 0, errors
    assert "is out of the race: the loss is nan" in shown
    folders = {row["folder"] for row in json.loads((run / "results.json").read_text())["rows"]}
    assert f"models/{name}" not in folders
    assert "models/plain" in folders
    assert any(folder.startswith("models/best") or folder == "models/host" for folder in folders)


@pytest.mark.slow
def test_memory_that_is_lacking_is_not_taken_for_an_arm_that_diverges(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = again(told, tmp_path, TOML)

    def lacking(out: Path, *given: Any, **more: Any) -> Any:
        if out.name.startswith("best"):
            with memory_named(given[1]):
                raise MemoryError("no room")
        return write_model(out, *given, **more)

    monkeypatch.setattr(best_recipe, "write_model", lacking)
    status, _, errors = call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")
    assert status == 1
    assert "out of memory" in errors


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[train.sampler]\nmulti_view = true\n", "train.sampler.multi_view = True in the recipe best"),
        ('[train]\nfalse_negatives = "positive"\n', "train.false_negatives = 'positive' in the recipe best"),
        ("[calibration]\nusers = 5\n", "calibration.users = 5 in the recipe best"),
        ("[trees]\nbranchin = 3\n", "unknown key 'trees.branchin'"),
        ("[[arms]]\nscale = 3.0\nweight = 0.5\n", "one of scale and weight, and both are given"),
        ("[[arms]]\ntop = 3\n", "one of scale and weight, and none is given"),
        ("[[arms]]\nscale = 3.0\n[[arms]]\nscale = 3.0\n", "the arm best20-c3 is there twice"),
    ],
)
def test_settings_that_would_change_nothing_are_refused_at_once(
    tmp_path: Path, table: str, said: str
) -> None:
    (tmp_path / "best.toml").write_text('recipe = "best"\ndata = "data"\n' + table)
    status, _, errors = call("run", tmp_path / "best.toml", "-o", tmp_path / "run")
    assert status == 2
    assert said in errors
    assert not (tmp_path / "run").exists()


def test_a_forgotten_recipe_is_told(tmp_path: Path) -> None:
    (tmp_path / "best.toml").write_text('data = "data"\ntrial = 0.3\n')
    status, _, errors = call("run", tmp_path / "best.toml", "-o", tmp_path / "run")
    assert status == 2
    assert "recipe = 'best'" in errors


def test_another_pretrained_model_has_its_own_options(tmp_path: Path) -> None:
    (tmp_path / "best.toml").write_text(TOML + '[pretrain.model]\nname = "lightgcn"\n')
    assert load_run_config(tmp_path / "best.toml").pretrain.model.options == {}


@pytest.mark.slow
def test_the_arm_stays_as_it_was_where_going_on_does_not_help(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = again(told, tmp_path, TOML)
    monkeypatch.setattr(best_recipe, "better", lambda one, other: True)
    mean = best_recipe._Run._mean
    monkeypatch.setattr(
        best_recipe._Run, "_mean", lambda run, model: -1.0 if model.path.name == "host" else mean(run, model)
    )
    status, shown, errors = call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")
    assert status == 0, errors
    assert "which is less: it stays as it was" in shown
    results = json.loads((run / "results.json").read_text())
    folders = {row["folder"] for row in results["rows"]}
    assert "models/host" not in folders
    assert folders & {f"models/{arm.name}" for arm in BestConfig(data="data").arms}


@pytest.mark.slow
def test_a_run_that_stops_leaves_no_report_of_an_earlier_one(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = again(told, tmp_path, TOML.replace("epochs = 4", "epochs = 2"))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(best_recipe, "write_with_prior", stop)
    assert call("run", tmp_path / "best.toml", "-o", run, "--device", "cpu")[0] == 130
    assert chosen_model(run) is None
    assert not {"README.md", "results.json"} & {path.name for path in run.iterdir()}


@pytest.mark.slow
def test_a_second_run_makes_nothing_again(told: Told) -> None:
    run, _, results = told
    before = {file: file.stat().st_mtime_ns for file in run.rglob("manifest.json")}
    _, shown, _ = call("run", run.parent / "best.toml", "-o", run, "--device", "cpu", "--json")
    assert json.loads(shown)["why"] == results["why"]
    assert {file: file.stat().st_mtime_ns for file in run.rglob("manifest.json")} == before


def test_the_recipe_of_a_file_and_of_the_command_line_must_agree(tmp_path: Path) -> None:
    (tmp_path / "best.toml").write_text(TOML)
    run = ["run", tmp_path / "best.toml", "--recipe", "published", "-o", tmp_path / "run"]
    status, _, errors = call(*run)
    assert status == 2
    assert "recipe = 'best', but --recipe published was asked for" in errors


def test_a_temperature_needs_a_loss_that_has_one(tmp_path: Path) -> None:
    text = TOML + '[train.loss]\nname = "bpr"\n[train.sampler]\nname = "uniform"\nnegatives = 1\n'
    (tmp_path / "best.toml").write_text(text)
    status, _, errors = call("run", tmp_path / "best.toml", "-o", tmp_path / "run")
    assert status == 2
    assert "temperature" in errors
    assert not (tmp_path / "run").exists()
