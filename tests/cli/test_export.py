"""`dtlns export`: files, report, refusals; what the files hold is tested with `dtlns.exporting`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dtlns.cli import main


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("export")
    small = ["--users", 40, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
    loop = ["--model", "mf", "--sampler", "uniform", "--epochs", 1, "--validate-every", 1, "--dimensions", 16]
    for words in (
        ["data", "planted", "-o", at / "data", *small],
        ["train", at / "data", "-o", at / "mf", *loop],
        ["train", at / "data", "-o", at / "ease", "--model", "ease"],
    ):
        main([str(word) for word in words])
    return at


def test_vectors_give_the_scores_of_recommend(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    main(["export", "vectors", str(made / "mf"), "-o", "v.npy", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "files": ["v.users.npy", "v.items.npy", "v.user_ids.npy", "v.item_ids.npy"],
        "model": str(made / "mf"),
        "users": 40,
        "items": 81,
        "dimensions": 16,
    }
    users, items, user_ids, item_ids = map(np.load, facts["files"])
    main(["recommend", str(made / "mf"), "--format", "jsonl"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row in rows:
        vector = users[user_ids.tolist().index(row["user"])]
        assert vector @ items[item_ids.tolist().index(row["item"])] == pytest.approx(row["score"], rel=1e-5)
    assert len(rows) == 40 * 20


def test_an_index_and_its_ids(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert not main(["export", "index", str(made / "mf"), "-o", "i.faiss"])
    assert capsys.readouterr().out == "i.faiss\ni.faiss.ids.parquet\n  40 users, 81 items, 16 dimensions\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.faiss", "i.faiss.ids.parquet"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vectors", "ease", "-o", "v.npy"], "the model, EASE, has no vectors"),
        (["index", "ease", "-o", "i.faiss"], "the model, EASE, has no vectors"),
        (["vectors", "mf", "-o", "v.txt"], "allowed: .safetensors, .parquet, .npy"),
        (["index", "mf", "-o", "i"], "the suffix '' is not known"),
        (["vectors", "data", "-o", "v.npy"], "data holds 'dataset'"),
        (["vectors", "mf", "-o", "v.npy", "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_wrong_calls_are_refused(
    made: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(made)
    before = sorted(made.iterdir())
    with pytest.raises(SystemExit) as stop:
        main(["export", *words])
    assert stop.value.code == 1
    assert message in capsys.readouterr().err
    assert sorted(made.iterdir()) == before
