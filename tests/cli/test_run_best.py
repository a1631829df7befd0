"""`dtlns run --recipe best`: what it prints, what it chooses, and that it goes on where it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_command import call, planted

from dtlns import best_recipe
from dtlns.best_recipe import better, going_on, with_arm
from dtlns.config import Arm, BestConfig, load_run_config
from dtlns.data.dataset import load_dataset
from dtlns.models.registry import load_scorer
from dtlns.stages.evaluation import chosen_model

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
    assert valid[results["chosen"]] >= valid["models/plain"]


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
def test_the_plain_host_stays_where_nothing_is_better(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_recipe, "better", lambda one, other: False)
    run, _, _ = told
    status, shown, errors = call("run", run.parent / "best.toml", "-o", tmp_path / "run", "--device", "cpu")
    assert status == 0, errors
    assert "training with false negatives is not better than without" in shown
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["chosen"] in ("models/plain", "models/plain-prior")
    assert not any("false negatives" in row["name"] for row in results["rows"])


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


def test_an_arm_changes_the_use_and_the_temperature_alone() -> None:
    host = BestConfig(data="-").train
    arm = with_arm(host, Arm(scale=30.0, temperature=0.1))
    assert (arm.false_negatives, arm.loss.options) == ("sampled", {"temperature": 0.1})
    same = arm.model_copy(update={"false_negatives": host.false_negatives, "loss": host.loss})
    assert same == host
    assert with_arm(host, Arm(weight=0.5)).loss == host.loss


def test_what_goes_on_takes_smaller_steps_and_other_random_numbers() -> None:
    config = BestConfig(data="-", finish=0.25)
    host, rest = config.train, going_on(config)
    assert rest.learning_rate == 0.25 * host.learning_rate
    assert rest.epochs == 0.25 * host.epochs
    assert rest.seed != host.seed
    told = {"learning_rate": host.learning_rate, "epochs": host.epochs, "seed": host.seed}
    assert rest.model_copy(update=told) == host


def test_better_means_by_more_than_the_standard_error() -> None:
    plain = np.zeros(100)
    gain = np.zeros(100)
    gain[:10] = 1.0  # mean 0.1, standard error 0.0302
    assert better(gain, plain)
    gain[10:16] = -1.0  # mean 0.04, standard error 0.0394
    assert better(gain, plain)
    gain[16:18] = -1.0  # mean 0.02, standard error 0.0426
    assert not better(gain, plain)
    assert not better(plain, plain)
