"""Settings that a data set cannot meet, or that ask for nothing, are refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_command import call

SERVER = """
[judge]
name = "llm"
[judge.options]
engine = "server"
model = "any"
endpoints = ["http://127.0.0.1:9/v1"]
"""
UPSTREAM = {"pretrained", "trees", "candidates", "hidden", "models", "upstream"}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log without times, as it is and split at random; and one artefact of each early stage."""
    for library in ("implicit", "optuna"):
        pytest.importorskip(library)
    at = tmp_path_factory.mktemp("logs")
    rows = [f"{user},{(user * 7 + step * step) % 60}" for user in range(40) for step in range(8)]
    (at / "log.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    loop = ["--model", "mf", "--sampler", "uniform", "--epochs", 1]
    for words in (
        ["data", "import", at / "log.csv", "-o", at / "whole"],
        ["data", "split", at / "whole", "-o", at / "split"],
        ["pretrain", at / "split", "-o", at / "pretrained", *loop],
        ["candidates", at / "split", "-o", at / "candidates", "--pretrained", at / "pretrained"],
        ["build-trees", at / "split", "-o", at / "trees", "--pretrained", at / "pretrained"],
    ):
        status, _, errors = call(*words)
        assert status == 0, errors
    return at


def refused(logs: Path, out: Path, command: str, text: str) -> str:
    """Call a command with settings; return what it says, after it made nothing that takes time."""
    (logs / "settings.toml").write_text(text)
    status, shown, errors = call(command, logs / "settings.toml", "-o", out, "--device", "cpu")
    assert status in (1, 2)
    assert shown == ""
    assert not {path.name for path in out.glob("*")} & UPSTREAM
    return errors


ROWS = '[[rows]]\nmodel = "popularity"\n[[rows]]\nmodel = "mf"\nfalse_negatives = "exclude"\n'
TABLE = f'data = "split"\nseeds = [0]\nbaseline = "popularity"\n{ROWS}'


@pytest.mark.parametrize(
    ("command", "text"),
    [("run", 'data = "split"'), ("run", 'recipe = "best"\ndata = "split"'), ("compare", TABLE)],
)
def test_the_latest_interactions_need_times(logs: Path, tmp_path: Path, command: str, text: str) -> None:
    errors = refused(logs, tmp_path / "out", command, f'{text}\n[calibration]\nby = "latest"\n')
    assert "hiding the latest interactions needs times, and the data set has none" in errors
    assert "auto or random" in errors


def test_the_latest_interactions_need_times_in_calibrate(logs: Path, tmp_path: Path) -> None:
    words = ["calibrate", logs / "candidates", "--trees", logs / "trees", "-o", tmp_path / "out"]
    status, _, errors = call(*words, "--hide", "latest")
    assert status == 2
    assert "needs times" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("by", ["time", "last-out"])
@pytest.mark.parametrize("recipe", ["published", "best"])
def test_a_split_in_time_needs_times(logs: Path, tmp_path: Path, recipe: str, by: str) -> None:
    text = f'recipe = "{recipe}"\ndata = "whole"\n[split]\nby = "{by}"\n'
    errors = refused(logs, tmp_path / "out", "run", text)
    assert f"has no times, which a split by = '{by}' needs" in errors
    assert "by = 'random'" in errors
    assert "--by" not in errors


def test_a_split_that_is_there_is_not_silently_kept(logs: Path, tmp_path: Path) -> None:
    errors = refused(logs, tmp_path / "out", "run", 'data = "split"\n[split]\nvalid = 0.3\n')
    assert "has a split already (random), so [split] would change nothing" in errors


def test_shares_of_a_split_that_takes_one_row(logs: Path, tmp_path: Path) -> None:
    text = 'data = "whole"\n[split]\nby = "last-out"\nvalid = 0.3\n'
    assert "it takes one row of each user" in refused(logs, tmp_path / "out", "run", text)


SPACE = '[train.model]\nname = "mf"\n[space]\ntrain.l2 = [0.1, 0.2]\n'


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("run", 'recipe = "best"\ndata = "split"\nmetric = "recall@1000000"\n'),
        ("tune", f'data = "split"\nmetric = "recall@1000000"\n{SPACE}'),
        ("compare", f'metrics = ["recall@1000000"]\n{TABLE}'),
    ],
)
def test_a_cut_off_beyond_the_catalogue(logs: Path, tmp_path: Path, command: str, text: str) -> None:
    errors = refused(logs, tmp_path / "out", command, text)
    assert "recall@1000000 needs longer lists than the training catalogue has items, 60" in errors
    assert "1 to 60" in errors


def test_a_cut_off_beyond_the_catalogue_in_train(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('metric = "recall@1000000"\n')
    words = ["train", logs / "split", "-o", tmp_path / "out", "--config", tmp_path / "recipe.toml"]
    status, _, errors = call(*words)
    assert status == 2
    assert "longer lists than the training catalogue has items, 60" in errors
    assert not (tmp_path / "out").exists()


def test_a_server_cannot_be_asked_again_in_training(logs: Path, tmp_path: Path) -> None:
    text = f'data = "split"\n[train]\nrefresh_every = 2\n{SERVER}'
    errors = refused(logs, tmp_path / "out", "run", text)
    assert "the judge 'llm' cannot be asked again in training" in errors
    assert "refresh_every = 0" in errors


@pytest.mark.parametrize(("command", "text"), [("run", 'data = "split"'), ("compare", TABLE)])
def test_more_users_than_there_are(logs: Path, tmp_path: Path, command: str, text: str) -> None:
    errors = refused(logs, tmp_path / "out", command, f"{text}\n[calibration]\nusers = 41\n")
    assert "calibrating on 41 users, of 40" in errors


@pytest.mark.parametrize(
    ("command", "text"),
    [("run", 'data = "split"'), ("run", 'recipe = "best"\ndata = "split"'), ("compare", TABLE)],
)
def test_weights_that_are_not_there(logs: Path, tmp_path: Path, command: str, text: str) -> None:
    text = f"{text}\n[train]\ninteraction_weights = true\n"
    errors = refused(logs, tmp_path / "out", command, text)
    assert "the data set has no weights other than 1" in errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "split", "--observed", 0.5], "--observed changes nothing without --use sampled"),
        (["pretrain", "split", "--model", "ials", "--epochs", 3], "ials is a model without epochs"),
        (["calibrate", "candidates", "--trees", "trees", "--users", 41], "calibrating on 41 users, of 40"),
        (["judge", "candidates", "--trees", "trees", "--users", 41], "calibrating on 41 users, of 40"),
    ],
)
def test_options_that_ask_for_nothing(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[object], message: str
) -> None:
    monkeypatch.chdir(logs)
    status, _, errors = call(*words, "-o", tmp_path / "out")
    assert status == 2
    assert message in errors
    assert not list(tmp_path.iterdir())
