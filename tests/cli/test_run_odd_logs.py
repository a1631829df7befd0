"""`dtlns run` on logs and settings that cannot work: told in words, and where it can be before any work."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from run_command import call, planted
from safetensors import SafetensorError

from dtlns.stages import prior
from dtlns.training import checkpoint

RECIPES = ["published", "best"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_log_of_single_interactions_has_no_validation_row_to_choose_on(tmp_path: Path, recipe: str) -> None:
    if recipe == "best":
        pytest.importorskip("implicit", reason="the recipe pretrains with implicit")
    rows = [f"{user},{user % 7}" for user in range(30)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    assert call("data", "import", tmp_path / "log.csv", "-o", tmp_path / "data")[0] == 0
    run = ["run", "--recipe", recipe, "--data", tmp_path / "data", "-o", tmp_path / "run"]
    for _ in range(2):  # the second time the split is there already
        status, _, errors = call(*run)
        assert status == 2
        assert "no history is long enough to give the split a validation row" in errors
        assert "longer histories" in errors
    assert not (tmp_path / "run" / "pretrained").exists()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_pretrained_model_without_vectors_is_refused_at_once(tmp_path: Path, recipe: str) -> None:
    text = f'recipe = "{recipe}"\ndata = "data"\n[pretrain.model]\nname = "itemknn"\n'
    (tmp_path / "run.toml").write_text(text)
    status, _, errors = call("run", tmp_path / "run.toml", "-o", tmp_path / "run")
    assert status == 2
    assert "pretrain.model.name = 'itemknn' has no item vectors" in errors
    assert not (tmp_path / "run").exists()


def test_an_arm_that_does_not_fit_the_host_is_named(tmp_path: Path) -> None:
    pytest.importorskip("implicit", reason="the recipe pretrains with implicit")
    (tmp_path / "run.toml").write_text('recipe = "best"\ndata = "data"\n[train.loss]\nname = "bpr"\n')
    status, _, errors = call("run", tmp_path / "run.toml", "-o", tmp_path / "run")
    assert status == 2
    assert "the arm best20-c6-o0.1-t0.08 does not fit the host" in errors
    assert "temperature" in errors
    assert "[[arms]]" in errors


@pytest.mark.slow
def test_validation_may_choose_a_baseline_which_is_recommended_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior, "WEIGHTS", (0.0,))  # a host of one small step, alone: anything is better
    pytest.importorskip("implicit", reason="the recipe pretrains with implicit")
    planted(tmp_path)
    short = 'recipe = "best"\ndata = "data"\nmetric = "recall@7"\nhidings = 1\nuse_trees = false\n'
    text = short + "[train]\nepochs = 1\nlearning_rate = 1e-6\n[[arms]]\nscale = 1.0\n"
    (tmp_path / "run.toml").write_text(text)
    status, _, errors = call("run", tmp_path / "run.toml", "-o", tmp_path / "run", "--device", "cpu")
    assert status == 0, errors
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    values = {row["folder"]: row["result"]["valid"]["recall@7"] for row in results["rows"]}
    assert results["chosen"] == "models/itemknn"
    assert values["models/itemknn"] == max(values.values())
    assert results["why"][-1].startswith("chosen: ItemKNN (cosine), not tuned, the best of all rows")
    lists = [call("recommend", tmp_path / folder, "-k", 3) for folder in ("run", "run/models/itemknn")]
    assert lists[0][0] == 0
    assert lists[0][1] == lists[1][1]


@pytest.mark.slow
def test_a_log_with_too_few_positives_to_hide_goes_without_false_negatives(tmp_path: Path) -> None:
    pytest.importorskip("implicit", reason="the recipe pretrains with implicit")
    rows = [f"{user},{(user + step * (step + 1) // 2) % 8}" for user in range(6) for step in range(5)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    assert call("data", "import", tmp_path / "log.csv", "-o", tmp_path / "data")[0] == 0
    (tmp_path / "run.toml").write_text('recipe = "best"\ndata = "data"\n[train]\nepochs = 2\n')
    run = ["run", tmp_path / "run.toml", "-o", tmp_path / "run", "--device", "cpu"]
    status, shown, errors = call(*run)
    assert status == 0, errors
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    folders = ["plain", "longer", "popularity", "itemknn"]
    assert [row["folder"] for row in results["rows"]] == [f"models/{name}" for name in folders]
    assert re.match(
        r"no model of false negatives, and so no prior: \d of \d+ candidates are hidden positives, too few",
        results["why"][0],
    )
    assert "(at least 10 are needed)" in results["why"][0]
    assert results["why"][0] in shown
    assert call("evaluate", tmp_path / "run")[0] == 0
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("manifest.json")}
    assert call(*run)[0] == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_table_in_place_of_a_data_set_is_told_how_to_become_one(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user,item\n1,2\n")
    status, _, errors = call("run", "--data", log, "-o", tmp_path / "run")
    assert status == 1
    assert f"dtlns data import {log} -o DATASET" in errors


def test_a_disk_that_is_full_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    rows = [f"{user},{(user + step) % 9}" for user in range(30) for step in range(3)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    assert call("data", "import", tmp_path / "log.csv", "-o", tmp_path / "data")[0] == 0
    status, _, errors = call("train", tmp_path / "data", "-o", tmp_path / "model", "--epochs", 1)
    assert status == 1
    assert "error: I/O error: No space left on device" in errors
    assert not (tmp_path / "model").exists()
