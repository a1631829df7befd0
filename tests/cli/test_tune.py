"""`dtlns tune`, and `dtlns train --config` with what it leaves."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import pytest
from run_command import call

from dtlns.data.planted import PlantedSettings, plant

TOML = """
data = "world"
metric = "ndcg@10"
trials = 4
[train]
model = { name = "mf", dimensions = 4 }
sampler = { name = "dns", candidates = 2 }
epochs = 6
batch_size = 64
validate_every = 2
[space]
train.learning_rate = { low = 1e-3, high = 1e-1, log = true }
train.sampler.candidates = [2, 4]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    plant(folder / "world", PlantedSettings(users=60, branching=3, leaf_size=4, interactions=8), seed=0)
    return folder


def spec(world: Path, text: str = TOML, name: str = "search.toml") -> Path:
    (world / name).write_text(text)
    return world / name


def test_the_best_settings_give_the_same_value_again(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["tune", spec(world), "-o", "found", "--device", "cpu"]
    status, out, err = call(*words)
    assert status == 0, err
    assert "trial 4 of 4: ndcg@10 0." in err
    with Path("found/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    best = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["value"]))
    assert f"best: validation ndcg@10 {float(best['value']):.4f} in trial {best['number']}" in out

    written = tomllib.loads(Path("found/best.toml").read_text())
    assert written["metric"] == "ndcg@10"
    assert written["train"]["learning_rate"] == float(best["train.learning_rate"])
    assert written["train"]["sampler"]["candidates"] == int(best["train.sampler.candidates"])
    assert written["train"]["batch_size"] == 64
    (line,) = [line for line in out.splitlines() if line.startswith("Train it: dtlns ")]
    status, out, err = call(*line.removeprefix("Train it: dtlns ").split(), "--device", "cpu")
    assert status == 0, err
    trained = json.loads(Path("MODEL/training.json").read_text())
    assert (trained["metric"], trained["best_value"]) == ("ndcg@10", float(best["value"]))
    assert trained["best_epoch"] == int(best["best_epoch"])

    status, out, err = call(*words, "--trials", 3, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert (told["best"]["value"], len(told["trials"])) == (float(best["value"]), 4)
    assert [trial["point"]["train.learning_rate"] for trial in told["trials"]] == [
        float(row["train.learning_rate"]) for row in rows
    ]


def test_a_model_without_epochs_and_a_loose_end(world: Path, tmp_path: Path) -> None:
    head = 'data = "world"\n[train]\nmodel = { name = "ease" }\n'
    file = spec(world, head + "[space]\ntrain.model.options.l2 = [1.0, 30.0, 1000.0]\n", "ease.toml")
    status, out, err = call("tune", file, "-o", tmp_path / "ease")
    assert status == 0, err
    assert "3 trials: 3 complete" in out
    assert "epoch" not in out.splitlines()[1]
    config = ["--config", tmp_path / "ease" / "best.toml"]
    assert call("train", world / "world", "-o", tmp_path / "m", *config)[0] == 0
    told = json.loads(call("tune", file, "-o", tmp_path / "ease", "--json")[1])
    assert json.loads((tmp_path / "m" / "training.json").read_text())["best_value"] == told["best"]["value"]
    for text, message in (
        (
            head,
            "allowed: train.model.options.NAME\n  hint: `dtlns train --model ease --tune`",
        ),
        (
            head + "[space]\ntrain.learning_rate = [0.1, 0.2]\n",
            "would change nothing: ease is a model without",
        ),
        (
            head + "[space]\ntrain.model.options.k = [1, 2]\n",
            "model 'ease' has no option 'k' (at model.options.k 1)",
        ),
        (head + "[space]\ntrain.model.options.l2 = [1.0, -1.0]\n", "l2 is -1.0 (at model.options.l2 -1)"),
    ):
        status, out, err = call("tune", spec(world, text, "wrong.toml"), "-o", tmp_path / "wrong")
        assert (status, out) == (2, "")
        assert message in err
        assert "wrong.toml: " in err
        assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "train.sampler.candidates",
            "train.sampler.candidate",
            ": [space]: train.sampler.candidate is not a setting",
        ),
        ("[2, 4]", "[2, 0]", "train.sampler.candidates = 0\n  allowed: greater than or equal to 1"),
        ("[2, 4]", '["2", "4"]', "train.sampler.candidates has '2'\n  allowed: whole numbers"),
        ("high = 1e-1", "high = 1e-4", "low = 0.001 and high = 0.0001\n  allowed: low below high"),
        (
            "[2, 4]",
            "[2, 4]\nselection.top = [1, 2]",
            "selection.top would change nothing\n  hint: train.false_neg",
        ),
        (
            "[2, 4]",
            "[2, 4]\ntrain.sampler.view_weights.structural = [0.1, 0.2]",
            "view_weights.structural would change nothing\n  hint: train.sampler.multi_view is false",
        ),
        (
            "[2, 4]",
            "[2, 4]\ntrain.false_negatives = ['ignore', 'weighted']",
            "train.false_negatives = 'weighted' needs judged candidates (at ",
        ),
        (
            "[2, 4]",
            "[2, 4]\ntrain.sampler.multi_view = [false, true]",
            "train.sampler.multi_view = true needs trees (at ",
        ),
        (
            "[2, 4]",
            "[2, 4]\ntrain.sampler.name = ['dns', 'dsn']",
            "unknown sampler 'dsn' (at learning_rate 0.0505, ",
        ),
        ("epochs = 6", "loss = { name = 'bprr' }", "unknown loss 'bprr'"),
        ("epochs = 6", "epochs = 0", "train.epochs = 0\n  allowed: greater than or equal to 1"),
        ("epochs = 6", "tune = true", "train.tune = true\n  hint: the search itself"),
        ("ndcg@10", "ndcg", "metric = 'ndcg'\n  allowed: unknown metric 'ndcg'"),
        ("trials = 4", "trails = 4", "unknown key 'trails'"),
        ('data = "world"', "", "data is missing"),
        ('data = "world"', 'data = "nowhere"', "nowhere"),
        ("[space]", "[spcae]", "unknown key 'spcae'"),
        ("[2, 4]", "[2, 4", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_trial(
    world: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = spec(world, TOML.replace(old, new), "wrong.toml")
    status, out, err = call("tune", file, "-o", tmp_path / "found")
    assert (status in (1, 2), out) == (True, "")
    assert message in err
    assert "trial 1 of" not in err
    assert not (tmp_path / "found").exists()


def test_another_search_and_other_folders_are_refused(world: Path, tmp_path: Path) -> None:
    assert call("tune", spec(world), "-o", tmp_path / "found", "--trials", 1)[0] == 0
    changed = spec(world, TOML.replace("epochs = 6", "epochs = 7"), "changed.toml")
    status, _, err = call("tune", changed, "-o", tmp_path / "found")
    assert status == 2
    assert "holds a search with other settings: train.epochs was 6, is 7" in err
    status, _, err = call("tune", spec(world), "-o", world / "world")
    assert (status, "holds a data set" in err) == (2, True)
    status, _, err = call("tune", spec(world), "-o", tmp_path / "found", "--trials", 0)
    assert status == 2


def test_the_command_line_wins_over_the_file(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        "[train]\nepochs = 3\nl2 = 0.5\nbatch_size = 99\nseed = 4\n"
        'model = { name = "mf", dimensions = 4 }\nsampler = { name = "dns", candidates = 3 }\n'
    )
    told = ["--config", file, "--l2", "0.25", "--n-candidates", 2, "--device", "cpu"]
    status, _, err = call("train", world / "world", "-o", tmp_path / "m", *told)
    assert status == 0, err
    config = json.loads((tmp_path / "m" / "manifest.json").read_text())["config"]
    assert (config["model"]["name"], config["model"]["dimensions"]) == ("mf", 4)
    assert (config["sampler"]["name"], config["sampler"]["candidates"]) == ("dns", 2)
    assert (config["epochs"], config["l2"], config["batch_size"], config["seed"]) == (3, 0.25, 99, 4)
    assert (config["learning_rate"], config["selected_by"]) == (1e-3, "recall@20")


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("[train]\nlr = 0.1\n", [], "recipe.toml: unknown key 'train.lr'"),
        ("data = 'x'\n", [], "recipe.toml: unknown key 'data'\n  allowed: metric, train, selection"),
        ("[train]\nl2 = -1.0\n", [], "recipe.toml: train.l2 = -1.0\n  allowed: greater than or equal to 0"),
        ("[train]\nl2 = 0.1\n", ["--l2", "-1"], "command line: l2 = -1.0"),
        ("[train]\nmodel = { name = 'ease' }\n", ["--lr", "0.1"], "model without epochs and cannot use --lr"),
        ("[train]\nmodel = { name = 'ease', options = { k = 1 } }\n", [], "model 'ease' has no option 'k'"),
        (
            "[train]\nfalse_negatives = 'weighted'\n",
            [],
            "but none were given\n  hint: give --false-negatives",
        ),
        (
            "[train]\n",
            ["--false-negatives", "."],
            "train.false_negatives = 'ignore', so --false-negatives would",
        ),
    ],
)
def test_a_wrong_file_leaves_nothing(
    world: Path,
    tmp_path: Path,
    text: str,
    words: list[str],
    message: str,
) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    told = ["train", world / "world", "-o", tmp_path / "m", "--config", tmp_path / "recipe.toml", *words]
    status, out, err = call(*told)
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "m").exists()


def test_options_of_the_file_stay_unless_the_model_changes(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        '[train.model]\nname = "itemknn"\n'
        'options = { similarity = "jaccard", neighbours = 5, shrinkage = 1.0 }\n'
    )
    words = ["train", world / "world", "--config", file]
    assert call(*words, "-o", tmp_path / "a", "--option", "neighbours=7")[0] == 0
    assert call(*words, "-o", tmp_path / "b", "--model", "ease", "--option", "l2=3.0")[0] == 0
    found = [json.loads((tmp_path / name / "manifest.json").read_text())["config"]["model"] for name in "ab"]
    assert found[0]["options"] == {"similarity": "jaccard", "neighbours": 7, "shrinkage": 1.0}
    assert (found[1]["name"], found[1]["options"]) == ("ease", {"l2": 3.0})
