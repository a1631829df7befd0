"""`dtlns data`: data to stdout, words to stderr, exit codes, and JSON that a machine can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_command import call

from dtlns.data.dataset import load_dataset

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.csv"
    rows = [f"{user},{item},{1 + (user * item) % 5},{1000 + item}" for user in range(6) for item in range(10)]
    file.write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n")
    return file


def test_import_split_stats(tmp_path: Path, log: Path) -> None:
    status, out, err = call(
        "data", "import", log, "-o", tmp_path / "d", "--min-rating", 2, "--k-core", 2, "--json"
    )
    assert status == 0
    facts = json.loads(out)
    kept = sum((user * item) % 5 >= 1 for user in range(1, 6) for item in range(10))
    assert facts["interactions"] == {"train": kept}
    assert "ratings of 2 or more" in err
    status, out, _ = call(
        "data", "split", tmp_path / "d", "-o", tmp_path / "s", "--by", "random", "--seed", 4
    )
    assert status == 0
    assert out.startswith(str(tmp_path / "s"))
    split = load_dataset(tmp_path / "s")
    assert split.split is not None
    assert split.split["seed"] == 4
    status, out, _ = call("data", "stats", tmp_path / "s", "--json")
    assert status == 0
    assert json.loads(out)["interactions"] == kept
    status, out, _ = call("data", "stats", tmp_path / "s")
    assert "item graph" in out


def test_names_separator_and_header(tmp_path: Path) -> None:
    file = tmp_path / "raw.dat"
    file.write_text("ann\tx\t5\nbob\ty\t6\n")
    (tmp_path / "items.csv").write_text("id,title\nx,Ex\ny,Why\n")
    told = ("--format", "csv", "--separator", "tab", "--header", "user,item,time", "--name", "mine")
    status, _, err = call(
        "data", "import", file, "-o", tmp_path / "d", *told, "--items", tmp_path / "items.csv"
    )
    assert status == 0, err
    data = load_dataset(tmp_path / "d")
    assert data.name == "mine"
    assert data.items["name"].to_list() == ["Ex", "Why"]


def test_list_and_bundled(tmp_path: Path) -> None:
    status, out, _ = call("data", "list", "--json", "--examples", EXAMPLES)
    assert status == 0
    listed = json.loads(out)
    assert [row["source"] for row in listed["bundled"]] == ["bundled:movielens-small"]
    assert listed["planted"]["easy"]["users"] == 2000
    arguments = ("import", "bundled:movielens-small", "-o", tmp_path / "d", "--examples", EXAMPLES, "--json")
    status, out, _ = call("data", *arguments)
    assert status == 0
    assert json.loads(out)["interactions"] == {"train": 44_413}


def test_planted(tmp_path: Path) -> None:
    told = ("planted", "-o", tmp_path / "d", "--setting", "hard", "--users", 100, "--interactions", 10)
    status, _, err = call("data", *told)
    assert status == 0, err
    data = load_dataset(tmp_path / "d")
    assert data.split is not None
    assert data.frame().height == 1000
    status, _, err = call("data", *told)
    assert status == 1
    assert "--force" in err
    assert call("data", *told, "--force")[0] == 0
    assert load_dataset(tmp_path / "d").digest == data.digest


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "log.csv"],
        ["import", "log.csv", "-o", "d", "--format", "netflix"],
        ["import", "log.csv", "-o", "d", "--catalogue"],
        ["import", "log.csv", "-o", "d", "--k-core", "0"],
        ["split", "d", "-o", "s", "--test", "1.5"],
        ["split", "d", "-o", "s", "--keep-test", "--test", "0.2"],
        ["split", "d", "-o", "s", "--by", "last-out", "--valid", "0.2"],
        ["planted", "-o", "d", "--setting", "medium"],
        ["frobnicate"],
    ],
)
def test_a_wrong_call_is_status_2(arguments: list[str]) -> None:
    status, out, err = call("data", *arguments)
    assert status == 2
    assert out == ""
    assert "Usage" in err


def test_a_failed_job_is_status_1_and_says_what_and_where(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,item\n1,2\n-3,4\n")
    status, out, err = call("data", "import", file, "-o", tmp_path / "d")
    assert status == 1
    assert out == ""
    assert f"error: {file}, line 3: user id is '-3'" in err
    assert "allowed: 0 or more" in err
    assert "hint:" in err
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    assert call("data", "stats", tmp_path / "nowhere")[0] == 1
    assert call("data", "import", tmp_path / "nowhere", "-o", tmp_path / "d")[0] == 1


def test_last_out_says_on_stderr_that_it_leaks_time(tmp_path: Path, log: Path) -> None:
    call("data", "import", log, "-o", tmp_path / "d")
    status, _, err = call("data", "split", tmp_path / "d", "-o", tmp_path / "s", "--by", "last-out")
    assert status == 0
    assert "leaks time" in err


def test_noise(tmp_path: Path) -> None:
    assert call("data", "planted", "-o", tmp_path / "w", "--users", 80, "--interactions", 10)[0] == 0
    before = load_dataset(tmp_path / "w")
    status, out, err = call("data", "noise", tmp_path / "w", "-o", tmp_path / "n", "--rate", 0.1, "--json")
    assert status == 0
    told = json.loads(out)
    added = told["interactions"]["train"] - before.train.n_interactions
    assert added == round(0.1 * before.train.n_interactions)
    assert (told["split"]["noise"], told["split"]["noise_seed"]) == (0.1, 0)
    assert f"note: {added:,} interactions drawn at random were added" in err
    assert "noise         0.1 of the other training rows" in call("data", "stats", tmp_path / "n")[1]
    status, _, err = call("data", "noise", tmp_path / "w", "-o", tmp_path / "x", "--rate", -1)
    assert (status, "noise rate is -1" in err) == (1, True)
