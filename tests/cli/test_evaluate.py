"""`dtlns evaluate`: both tables, both protocols, and how it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from run_command import call, expect

from dtlns.data.dataset import load_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted data set, the truth as judge, a model trained with it, and one without."""
    at = tmp_path_factory.mktemp("evaluate")
    small = ["--users", 100, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
    loop = ["--model", "mf", "--sampler", "uniform", "--epochs", 2, "--validate-every", 1]
    for words in (
        ["data", "planted", "-o", at / "data", *small],
        ["pretrain", at / "data", "-o", at / "pretrained", "--epochs", 1],
        ["candidates", at / "data", "-o", at / "candidates", "--pretrained", at / "pretrained", "-m", 40],
        ["judge", at / "candidates", "-o", at / "judged", "--control", "oracle", "--data", at / "data"],
        ["judge", at / "candidates", "-o", at / "other", "--control", "no-judge"],
        ["train", at / "data", "-o", at / "model", "--false-negatives", at / "judged", "--top", 30, *loop],
        ["train", at / "data", "-o", at / "plain", "--model", "popularity"],
    ):
        expect(*words)
    shutil.copytree(at / "model", at / "elsewhere" / "moved")
    (at / "moved").symlink_to(at / "elsewhere" / "moved")
    return at


def test_two_tables_a_split(made: Path) -> None:
    status, out, err = call("evaluate", made / "plain", "-k", 5, "-k", 20, "--mask-valid")
    assert (status, err) == (0, "")
    said = json.loads(call("evaluate", made / "plain", "-k", 5, "-k", 20, "--mask-valid", "--json")[1])
    assert said["masked"] == {"valid": "train", "test": "train+valid"}
    lines = out.splitlines()
    assert lines[0] == "protocol leak-free"
    for split in ("valid", "test"):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{split}: "))
        assert f"masked: {said['masked'][split]};" in lines[at]
        accuracy, beyond = lines[at + 1].split(), lines[at + 4].split()
        assert accuracy == ["K", "recall", "ndcg", "precision", "hit_rate", "mrr", "map"]
        assert lines[at + 3].split()[1] == f"{said[split]['recall@20']:.4f}"
        assert beyond[:5] == ["K", "coverage", "gini", "novelty", "popularity"]
        assert beyond[5:] == ["niche", "middle", "blockbuster"]
        assert lines[at + 6].split()[1] == f"{said['beyond'][split]['coverage@20']:.4f}"
        assert lines[at + 6].split()[5] == f"{said['beyond'][split]['popularity_lift_niche@20']:+.1%}"


def test_published_from_a_file_in_the_sources_own_ids(made: Path, tmp_path: Path) -> None:
    data = load_dataset(made / "data")
    judged = pl.read_parquet(made / "judged" / "judged.parquet").filter(pl.col("p_hidden") > 0)
    users, items = data.users["id"].gather(judged["user"]), data.items["id"].gather(judged["item"])
    lines = [f"{user} {item}" for user, item in zip(users, items, strict=True)]
    file = tmp_path / "positives.txt"
    file.write_text("\n".join([*lines, f"nobody {items[0]}", f"{users[0]} nothing"]) + "\n")
    told = ["evaluate", made / "plain", "--protocol", "published", "--positives", file, "-k", 20]
    said = json.loads(call(*told, "--json")[1])
    steps = said["enhanced_positives"]
    assert (steps["given"], steps["unknown"], steps["repeated"]) == (len(lines) + 2, 2, 0)
    held_out = {
        (user, item)
        for view in (data.valid, data.test)
        if view is not None
        for user in view.users().tolist()
        for item in view.indices[view.indptr[user] : view.indptr[user + 1]].tolist()
    }
    assert data.test is not None
    wanted = [
        pair for pair in judged.select("user", "item").rows() if pair[0] in set(data.test.users().tolist())
    ]
    assert steps["held_out"] == sum(pair in held_out for pair in wanted) > 0
    assert steps["masked"] == sum(pair not in held_out for pair in wanted) > 0
    assert said["protocol"] == "published"
    assert said["test"]["published"]["recall@20"] > said["test"]["leak-free"]["recall@20"]
    plain = json.loads(call("evaluate", made / "plain", "-k", 20, "--json")[1])
    assert said["test"]["leak-free"] == plain["test"]

    text = call(*told)[1]
    assert text.startswith("protocol published, beside leak-free\n")
    row = next(line.split() for line in text.splitlines() if "recall@20" in line)
    assert row[1:] == [
        f"{said['test']['leak-free']['recall@20']:.4f}",
        f"{said['test']['published']['recall@20']:.4f}",
        f"{said['change']['recall@20']:+.1%}",
    ]
    assert "masked, leak-free: train\nmasked, published: train+enhanced\n" in text
    assert f"  not masked: {steps['held_out']} in validation or test" in text
    assert "why: the model is the same" in text


def test_published_from_the_models_own_false_negatives(made: Path) -> None:
    told = ["evaluate", made / "model", "--protocol", "published", "--json", "-k", 20]
    said = json.loads(call(*told)[1])
    assert json.loads(call(*told, "--false-negatives", made / "judged")[1]) == said
    judged = pl.read_parquet(made / "judged" / "judged.parquet").filter(pl.col("p_hidden") > 0)
    used = judged.group_by("user").len().select(pl.col("len").clip(upper_bound=30)).sum().item()
    assert said["enhanced_positives"]["given"] == used
    assert said["false_negatives"] == "weighted"


REFUSED: list[tuple[int, list[str], str]] = [
    (2, ["plain", "--protocol", "published"], "trained without false negatives"),
    (1, ["moved", "--protocol", "published", "--data", "data"], "are not where they were"),
    (
        2,
        ["model", "--protocol", "published", "--positives", "p.txt", "--false-negatives", "judged"],
        "give either --positives or --false-negatives",
    ),
    (2, ["plain", "--positives", "p.txt"], "belong to --protocol published"),
    (
        2,
        ["plain", "--protocol", "published", "--false-negatives", "judged"],
        "trained without false negatives",
    ),
    (2, ["model", "--protocol", "published", "--false-negatives", "other"], "with other false negatives"),
    (1, ["model", "--protocol", "published", "--false-negatives", "data"], "data holds 'dataset'"),
    (1, ["model", "--protocol", "published", "--positives", "none.txt"], "none.txt does not exist"),
    (2, ["model", "--protocol", "honest"], "'honest' is not one of 'leak-free', 'published'"),
]


@pytest.mark.parametrize(("code", "words", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_wrong_calls_are_refused(
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(made)
    status, out, err = call("evaluate", *words)
    assert (status, out) == (code, "")
    assert message in err
