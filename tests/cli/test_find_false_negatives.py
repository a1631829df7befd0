"""`dtlns find-false-negatives` by hand, up to a model that uses what it found."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from run_command import call, expect


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("found")
    small = ["--users", 150, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 12]
    expect("data", "planted", "-o", at / "data", *small)
    expect("pretrain", at / "data", "-o", at / "pretrained", "--epochs", 3)
    expect("candidates", at / "data", "-o", at / "candidates", "--pretrained", at / "pretrained")
    return at


def test_what_is_found_can_be_trained_with(made: Path) -> None:
    words = ["find-false-negatives", made / "candidates", "-o", made / "found", "--classifier", "logistic"]
    assert json.loads(expect(*words, "--pretrained", made / "pretrained", "--json")[0])
    table = pl.read_parquet(made / "found" / "judged.parquet")
    assert table["p_hidden"].is_between(0, 1).all()
    assert table.group_by("user").len()["len"].min() >= 30  # two sources of thirty, together
    train = ["train", made / "data", "-o", made / "model", "--model", "mf", "--sampler", "uniform"]
    more = ["--false-negatives", made / "found", "--use", "weighted", "--epochs", 2, "--validate-every", 1]
    expect(*train, *more)
    prior = ["add-prior", made / "model", "--false-negatives", made / "found", "-o", made / "with-prior"]
    weight = json.loads(expect(*prior, "--json")[0])
    assert set(weight) == {"prior", "recall@20"}
    measured = json.loads(expect("evaluate", made / "with-prior", "--json")[0])
    assert measured["valid"]["recall@20"] == pytest.approx(weight["recall@20"])
    again = [*train[:3], made / "other", *train[4:]]
    assert call(*again, *more, "--refresh-every", 1)[0] != 0
    assert not (made / "other").exists()


def test_features_of_trees_need_trees(made: Path) -> None:
    words = ["find-false-negatives", made / "candidates", "-o", made / "none", "--features", "trees"]
    assert "trees" in expect(*words, "--pretrained", made / "pretrained", code=2)[1]
    assert not (made / "none").exists()
