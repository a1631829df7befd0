"""`dtlns train --option`, `--sampler-option`, `--loss` and `--tune`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from run_command import call

from dtlns.training.result import TrainedModel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    small = ["--users", 100, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
    assert call("data", "planted", "-o", tmp_path / "data", *small)[0] == 0
    return tmp_path / "data"


def test_options_reach_the_model_and_the_artefact(data: Path, tmp_path: Path) -> None:
    told = ["--option", "similarity=jaccard", "--option", "neighbours=5", "--option", "shrinkage = 2.5"]
    status, out, err = call("train", data, "-o", tmp_path / "m", "--model", "itemknn", *told)
    assert status == 0, err
    assert re.search(r"m: validation recall@20 0\.\d{4}\n$", out)
    config = json.loads((tmp_path / "m" / "manifest.json").read_text())["config"]
    assert config["model"]["options"] == {"similarity": "jaccard", "neighbours": 5, "shrinkage": 2.5}
    assert json.loads((tmp_path / "m" / "training.json").read_text())["options"] is None


def test_a_loss_and_its_options_reach_the_model_and_the_artefact(data: Path, tmp_path: Path) -> None:
    told = ["--model", "mf", "--sampler", "shared-uniform", "--negatives", 7, "--epochs", 2]
    told += ["--loss", "softmax", "--loss-option", "temperature=0.2"]
    status, _, err = call("train", data, "-o", tmp_path / "m", *told)
    assert status == 0, err
    config = json.loads((tmp_path / "m" / "manifest.json").read_text())["config"]
    assert config["loss"] == {"name": "softmax", "similarity": None, "options": {"temperature": 0.2}}
    assert config["sampler"]["negatives"] == 7
    lengths = np.linalg.norm(TrainedModel.load(tmp_path / "m").item_vectors, axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=1e-5)  # the softmax compares by the cosine
    inner = call("train", data, "-o", tmp_path / "i", *told, "--similarity", "inner")
    assert inner[0] == 0, inner[2]
    assert np.linalg.norm(TrainedModel.load(tmp_path / "i").item_vectors, axis=1).std() > 0.01


def test_tuning_chooses_what_was_not_given(data: Path, tmp_path: Path) -> None:
    told = ["--model", "gfcf", "--option", "components=4", "--tune"]
    status, out, err = call("train", data, "-o", tmp_path / "m", *told)
    assert status == 0, err
    assert "gfcf: trial 4 of 4, alpha = 1.0, components = 4: recall@20 0." in err
    summary = json.loads((tmp_path / "m" / "training.json").read_text())
    trials = [json.loads(line) for line in (tmp_path / "m" / "metrics.jsonl").read_text().splitlines()]
    assert [trial["options"] for trial in trials] == [
        {"components": 4, "alpha": alpha} for alpha in (0.1, 0.3, 0.5, 1.0)
    ]
    best = max(trials, key=lambda trial: trial["recall@20"])
    assert (summary["options"], summary["best_value"]) == (best["options"], best["recall@20"])
    evaluated = json.loads(call("evaluate", tmp_path / "m", "--json")[1])
    assert (evaluated["model"], evaluated["options"]) == ("gfcf", best["options"])
    alpha = best["options"]["alpha"]
    assert out.endswith(f"{best['recall@20']:.4f} with alpha = {alpha}, components = 4, the best of 4\n")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--option", "l2"], 2, "--option 'l2': write NAME=VALUE"),
        (["--option", "=3"], 2, "--option '=3': write NAME=VALUE"),
        (["--option", "l2=1", "--option", "l2=2"], 2, "--option l2 is given twice"),
        (["--option", "l2=-1"], 1, "l2 is -1\n  allowed: a number above 0"),
        (["--option", "l2=1e"], 1, "l2 is '1e'"),
        (["--option", "k=1"], 2, "model 'ease' has no option 'k'\n  allowed: l2"),
        (["--multi-view", "--lr", "0.1"], 2, "without epochs and cannot use --multi-view, --lr"),
        (["--model", "mf", "--view-weight", "structural=1"], 2, "changes nothing without --multi-view"),
        (["--model", "mf", "--top", "5"], 2, "--top changes nothing without --false-negatives"),
        (
            ["--model", "mf", "--false-negatives", ".", "--use", "exclude", "--scale", "2"],
            2,
            "--scale changes nothing without --use avoid, weighted or sampled",
        ),
        (["--model", "mf", "--sampler", "tree-depth"], 2, "sampler 'tree-depth' needs trees"),
        (["--model", "mf", "--tune"], 2, "model 'mf' cannot be tuned"),
        (["--model", "mf", "--sampler-option", "beta=1"], 2, "sampler 'mixgcf' has no option 'beta'"),
        (["--loss", "softmax", "--similarity", "cosine"], 2, "cannot use --loss, --similarity"),
        (["--model", "mf", "--loss", "hinge"], 2, "unknown loss 'hinge'\n  allowed: "),
        (["--model", "mf", "--loss", "bsl", "--loss-option", "tau=1"], 2, "loss 'bsl' has no option 'tau'"),
        (["--model", "mf", "--loss-option", "temperature=1"], 2, "loss 'bpr' has no option 'temperature'"),
    ],
)
def test_wrong_options_leave_nothing(
    data: Path,
    tmp_path: Path,
    words: list[str],
    status: int,
    message: str,
) -> None:
    words = ["--model", "ease", *words]
    found, out, err = call("train", data, "-o", tmp_path / "m", *words)
    assert (found, out) == (status, "")
    assert message in err
    assert not (tmp_path / "m").exists()
