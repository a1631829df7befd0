"""Every command by hand, in the order of the pipeline, on a small planted data set; and how they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from run_command import expect

SMALL = ["--users", 100, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
N_USERS, N_ITEMS, M = 100, 81, 20
TOML = """
data = "data"
output = "myrun"
candidates = 20
[pretrain]
epochs = 2
[calibration]
share = 0.3
[false_negatives]
scales = [2.0]
[train]
epochs = 2
validate_every = 1
"""


def told(*words: object) -> Any:
    """Run a command for machines; return what it tells."""
    return json.loads(expect(*words, "--json")[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one artefact of each kind."""
    at = tmp_path_factory.mktemp("commands")
    calls: list[list[object]] = [
        ["data", "planted", "-o", at / "data", *SMALL],
        ["data", "planted", "-o", at / "unsplit", *SMALL, "--no-split", "--seed", 1],
        ["pretrain", at / "data", "-o", at / "pretrained", "--epochs", 2],
        ["build-trees", at / "data", "-o", at / "trees", "--pretrained", at / "pretrained"],
        ["candidates", at / "data", "-o", at / "candidates", "--pretrained", at / "pretrained", "-m", M],
        ["calibrate", at / "candidates", "-o", at / "calibration", "--trees", at / "trees", "--share", 0.3],
        [
            *["judge", at / "candidates", "-o", at / "judged", "--trees", at / "trees"],
            *["--calibration", at / "calibration"],
        ],
        [
            *["train", at / "data", "-o", at / "model", "--model", "mf", "--sampler", "dns", "--multi-view"],
            *["--trees", at / "trees", "--false-negatives", at / "judged", "--use", "exclude"],
            *["--epochs", 2, "--validate-every", 1],
        ],
    ]
    for words in calls:
        expect(*words)
    return at


def test_every_command_leaves_a_whole_artefact(made: Path) -> None:
    kinds = {
        folder.name: json.loads((folder / "manifest.json").read_bytes())["kind"] for folder in made.iterdir()
    }
    assert kinds == {
        "data": "dataset",
        "unsplit": "dataset",
        "pretrained": "pretrained",
        "trees": "trees",
        "candidates": "candidates",
        "calibration": "calibration",
        "calibration-hidden": "hidden",
        "judged": "judged",
        "model": "model",
    }


def test_json_of_every_command_that_reports(made: Path, tmp_path: Path) -> None:
    stats = told("data", "stats", made / "data")
    assert (stats["users"], stats["items"]) == (N_USERS, N_ITEMS)
    trees = told("build-trees", made / "data", "-o", tmp_path / "t", "--pretrained", made / "pretrained")
    assert set(trees) == {"structural", "semantic"}
    calibrated = told(
        "calibrate", made / "candidates", "-o", tmp_path / "c", "--trees", made / "trees", "--share", 0.3
    )
    assert 0 <= calibrated["auc"] <= 1
    judged = told(
        *["judge", made / "candidates", "-o", tmp_path / "j", "--trees", made / "trees"],
        *["--calibration", made / "calibration"],
    )
    assert judged["pairs"] == N_USERS * M


def test_evaluate_prints_what_others_rely_on(made: Path) -> None:
    result = told("evaluate", made / "model")
    assert result["protocol"] == "leak-free"
    for split in ("valid", "test"):
        for metric in ("recall", "ndcg", "precision", "hit_rate", "mrr", "map"):
            assert 0 <= result[split][f"{metric}@20"] <= 1
    assert result["test"]["recall@5"] <= result["test"]["recall@20"]
    # more than there are items: everything is recalled but what the catalogue cannot hold
    assert told("evaluate", made / "model", "-k", 500)["valid"]["recall@500"] > 0.99
    text, log = expect("evaluate", made / "model")
    assert text.startswith("protocol leak-free")
    assert log == ""


def test_run_leaves_a_folder_that_explains_itself(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "data", tmp_path / "data")
    (tmp_path / "run.toml").write_text(TOML)
    table, log = expect("run", "run.toml")
    assert "| popularity" in table
    assert "training: popularity" in log
    assert "epoch 2/2" in log
    readme = (tmp_path / "myrun/README.md").read_text()
    for name in ("config.toml", "results.json", "chosen", "trees/", "models/"):
        assert f"| `{name}` |" in readme
    chosen = (tmp_path / "myrun/chosen").read_text().strip()
    assert told("evaluate", "myrun") == told("evaluate", f"myrun/models/{chosen}")

    # again: nothing is trained, the report stays as it is; and the written settings do the same elsewhere
    assert "epoch 2/2" not in expect("run", "run.toml")[1]
    assert (tmp_path / "myrun/README.md").read_text() == readme
    monkeypatch.chdir(made)
    results = told("run", tmp_path / "myrun/config.toml", "-o", tmp_path / "copy")
    first = json.loads((tmp_path / "myrun/results.json").read_bytes())
    assert [row["result"] for row in results["rows"]] == [row["result"] for row in first["rows"]]


REFUSED: list[tuple[int, list[str], str]] = [
    (2, ["pretrain", "data"], "Missing option '-o'"),
    (2, ["pretrein", "data"], "No such command 'pretrein'"),
    (1, ["pretrain", "nowhere", "-o", "x"], "error: nowhere does not exist"),
    (
        1,
        ["pretrain", "trees", "-o", "x"],
        "error: trees holds 'trees'\n  allowed: an artefact of kind 'dataset'",
    ),
    (1, ["pretrain", "data", "-o", "model"], "error: model exists\n  hint:"),
    (
        2,
        ["pretrain", "data", "-o", "x", "--epochs", "0"],
        "epochs = 0\n  allowed: greater than or equal to 1",
    ),
    (
        2,
        ["pretrain", "data", "-o", "x", "--model", "lightgnc"],
        "unknown model 'lightgnc'\n  allowed: directau, ease",
    ),
    (
        2,
        ["build-trees", "data", "-o", "x", "--show", "semntic"],
        "'semntic': the views are structural, semantic",
    ),
    (1, ["build-trees", "data", "-o", "x", "--view", "v=rows.txt"], "rows.txt is no .npy file of numbers"),
    (1, ["build-trees", "data", "-o", "x", "--view", "v=none.npy"], "none.npy cannot be read (No such file"),
    (1, ["build-trees", "unsplit", "-o", "x", "--pretrained", "pretrained"], "was made from training data"),
    (
        1,
        ["candidates", "data", "-o", "x", "--pretrained", "pretrained", "-m", "500"],
        f"allowed: 1 to {N_ITEMS}",
    ),
    (2, ["judge", "candidates", "-o", "x"], "Missing option '--trees'"),
    (2, ["judge", "candidates", "-o", "x", "--trees", "trees", "--judge", "me"], "unknown judge 'me'"),
    (
        2,
        ["calibrate", "candidates", "-o", "x", "--trees", "trees", "--share", "2"],
        "share = 2.0\n  allowed: less",
    ),
    (1, ["evaluate", "data"], "error: data holds 'dataset'"),
    (1, ["evaluate", "model", "--data", "unsplit"], "was made from training data"),
    (2, ["run"], "give either a TOML file or --data DATASET"),
    (2, ["run", "--data", "data"], "where shall the run go?"),
    (2, ["run", "--data", "data", "-o", "trees"], "trees holds a data set or an artefact"),
    (1, ["run", "--data", "nowhere", "-o", "x"], "error: nowhere does not exist"),
    (2, ["run", "none.toml", "-o", "x"], "none.toml cannot be read: No such file"),
]


@pytest.mark.parametrize(("code", "words", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_wrong_calls_are_refused_and_leave_nothing(
    made: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: list[str], message: str
) -> None:
    monkeypatch.chdir(made)
    (made / "rows.txt").write_text("1 2 3\n")
    before = sorted(made.iterdir())
    _, err = expect(*words, code=code)
    assert message in err
    assert sorted(made.iterdir()) == before
    (made / "rows.txt").unlink()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('dta = "data"', "unknown key 'dta' (and 1 more)\n  allowed: data, output, split"),
        ("top = [5]", "data is missing"),
        ("data = ", "is not valid TOML: Invalid value"),
        ('data = "data"\n[train]\nepoch = 3', "unknown key 'train.epoch'\n  allowed: model, sampler"),
        ('data = "data"\n[train]\nepochs = "many"', "train.epochs = 'many'\n  allowed: a valid integer"),
        (
            'data = "data"\n[split]\nby = "randm"',
            "split.by = 'randm'\n  allowed: 'random', 'time' or 'last-out'",
        ),
    ],
)
def test_wrong_settings_name_their_place(tmp_path: Path, toml: str, message: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(toml)
    _, err = expect("run", file, "-o", tmp_path / "x", code=2)
    assert f"error: {file}: {message}" in err or f"error: {file} {message}" in err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('judge = "oracle"', "unknown judge 'oracle'"),
        ('[train.model]\nname = "foo"', "unknown model 'foo'"),
        ('[train.model]\nname = "popularity"', "'popularity' is a model without epochs"),
        ('[train.sampler]\nname = "foo"', "unknown sampler 'foo'"),
        (
            '[train.sampler]\nname = "uniform"',
            "sampler 'uniform' has no scores to which views could be added",
        ),
        ("[train.sampler.view_weights]\nimages = 1.0", "view weights ['images'] differ"),
        ('[pretrain]\nfalse_negatives = "weighted"', "pretraining cannot use trees or false negatives"),
        ("[pretrain]\ntune = true", "pretraining sees no validation to tune on"),
        ("[train]\ntune = true", "model 'mf' cannot be tuned"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_work(
    made: Path, tmp_path: Path, toml: str, message: str
) -> None:
    (tmp_path / "run.toml").write_text(f'data = "{made / "unsplit"}"\n{toml}\n')
    _, err = expect("run", tmp_path / "run.toml", "-o", tmp_path / "x", code=2)
    assert err.startswith("error: ")
    assert message in err
    assert not (tmp_path / "x").exists()


def test_a_view_of_ones_own(made: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).normal(size=(N_ITEMS, 8)))
    out, _ = expect(
        *["build-trees", made / "data", "-o", tmp_path / "trees", "--pretrained", made / "pretrained"],
        *["--view", f"images={tmp_path / 'images.npy'}", "--show", "images", "--show-depth", 1],
    )
    assert f"root · {N_ITEMS} items" in out
    assert (tmp_path / "trees/images.txt").read_text()


def test_controls_of_the_judge_and_of_the_trees(made: Path, tmp_path: Path) -> None:
    # the hidden half that is there has another share, and is made again where it is asked for
    shutil.copytree(made / "calibration-hidden", tmp_path / "hidden")
    shared = ["--hidden", tmp_path / "hidden"]
    same = told("judge", made / "candidates", "-o", tmp_path / "same", "--control", "no-judge", *shared)
    assert same["p_hidden_quantiles"]["0.1"] == same["p_hidden_quantiles"]["0.99"] > 0
    oracle = told(
        *["judge", made / "candidates", "-o", tmp_path / "oracle", "--control", "oracle"],
        *["--data", made / "data"],
    )
    assert oracle["p_hidden_quantiles"]["0.1"] == 0 < oracle["p_hidden_mean"] < 1
    assert oracle["p_hidden_quantiles"]["0.99"] == 1
    expect(
        *["build-trees", made / "data", "-o", tmp_path / "trees", "--codes", "random", "--view", "structural"]
    )
    assert not (tmp_path / "trees-pretrained").exists()
    expect("judge", made / "candidates", "-o", tmp_path / "judged", "--trees", tmp_path / "trees", *shared)
    frame = pl.read_parquet(tmp_path / "judged" / "judged.parquet")
    assert {"score_structural"} == {name for name in frame.columns if name.startswith("score_s")}
    for words, text in (
        (["--control", "oracle"], "needs --data"),
        (["--control", "no-judge", "--data", made / "data"], "needs --data"),
        (["--control", "no-judge", "--trees", made / "trees"], "takes no --trees"),
        ([], "Missing option '--trees'"),
    ):
        _, err = expect("judge", made / "candidates", "-o", tmp_path / "x", *words, code=2)
        assert text in err
    _, err = expect(
        "build-trees",
        made / "data",
        "-o",
        tmp_path / "x",
        "--view",
        "structural",
        "--show",
        "semantic",
        code=2,
    )
    assert "the views are structural" in err


def test_identification_of_a_calibration_and_of_a_planted_world(made: Path, tmp_path: Path) -> None:
    hidden = told("identification", made / "calibration", "-o", tmp_path / "quality", "--top", 3)
    assert hidden == json.loads((tmp_path / "quality" / "identification.json").read_bytes())
    assert hidden["called"]["pairs"] == 3 * N_USERS
    assert (tmp_path / "quality" / "reliability.svg").is_file()
    planted = told("identification", made / "judged", "--data", made / "data")
    assert planted["truth"].startswith("liked items")
    assert 0 < planted["positives"] < planted["truth_total"]
    text, _ = expect("identification", made / "judged", "--data", made / "data")
    assert f"AUC within users{planted['auc_within_users']:>19.3f}" in text
    _, err = expect("identification", made / "trees", code=1)
    assert "an artefact of kind 'calibration' or 'judged'" in err
    expect("identification", made / "judged", code=2)
    assert "--force" in expect("identification", made / "calibration", "-o", tmp_path / "quality", code=1)[1]
