"""`dtlns find-false-negatives` by hand, up to a model that uses what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dtlns.cli import main


def call(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("found")
    small = ["--users", 150, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 12]
    assert call("data", "planted", "-o", at / "data", *small) == 0
    assert call("pretrain", at / "data", "-o", at / "pretrained", "--epochs", 3) == 0
    assert call("candidates", at / "data", "-o", at / "candidates", "--pretrained", at / "pretrained") == 0
    return at


def test_what_is_found_can_be_trained_with(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["find-false-negatives", made / "candidates", "-o", made / "found", "--classifier", "logistic"]
    assert call(*words, "--pretrained", made / "pretrained", "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told
    table = pl.read_parquet(made / "found" / "judged.parquet")
    assert table["p_hidden"].is_between(0, 1).all()
    assert table.group_by("user").len()["len"].min() >= 30  # two sources of thirty, together
    train = ["train", made / "data", "-o", made / "model", "--model", "mf", "--sampler", "uniform"]
    more = ["--false-negatives", made / "found", "--use", "weighted", "--epochs", 2, "--validate-every", 1]
    assert call(*train, *more) == 0
    capsys.readouterr()
    prior = ["add-prior", made / "model", "--false-negatives", made / "found", "-o", made / "with-prior"]
    assert call(*prior, "--json") == 0
    weight = json.loads(capsys.readouterr().out)
    assert set(weight) == {"prior", "recall@20"}
    assert call("evaluate", made / "with-prior", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["valid"]["recall@20"] == pytest.approx(weight["recall@20"])
    again = [*train[:3], made / "other", *train[4:]]
    assert call(*again, *more, "--refresh-every", 1) != 0
    assert not (made / "other").exists()


def test_features_of_trees_need_trees(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["find-false-negatives", made / "candidates", "-o", made / "none", "--features", "trees"]
    assert call(*words, "--pretrained", made / "pretrained") == 2
    assert "trees" in capsys.readouterr().err
    assert not (made / "none").exists()
