"""The data set folder: same interactions, same bytes; held-out rows leave no trace in training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.importing import ImportOptions, import_dataset
from dtlns.data.store import write_dataset
from dtlns.errors import ArtifactError, DataError

ROWS = [
    ("u2", 10, "train", 5),
    ("u2", 30, "train", 4),
    ("u1", 20, "train", 3),
    ("u1", 10, "valid", 2),
    ("u2", 20, "test", 1),
    ("u0", 5, "test", 9),  # a cold user and a cold item
    ("u1", 30, "test", 8),
]


def frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["user", "item", "split", "timestamp"], orient="row")


def write(path: Path, rows: list[tuple[object, ...]], force: bool = False) -> Dataset:
    write_dataset(path, frame(rows), name="toy", config={"split": {"by": "source"}}, force=force)
    return load_dataset(path)


def files(path: Path, *names: str) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in names}


def test_views_by_hand(tmp_path: Path) -> None:
    data = write(tmp_path / "d", ROWS)
    assert data.users["id"].to_list() == ["u1", "u2", "u0"]
    assert data.items["id"].to_list() == [10, 20, 30, 5]
    train = data.train
    assert (train.n_users, train.n_items) == (2, 3)
    assert train.indptr.tolist() == [0, 1, 3]
    assert train.indices.tolist() == [1, 0, 2]
    assert train.indices.dtype == np.uint32
    assert train.timestamps is not None
    assert train.timestamps.tolist() == [3, 5, 4]
    assert train.user_ids is not None
    assert train.user_ids.tolist() == ["u1", "u2"]
    assert train.item_ids is not None
    assert train.item_ids.tolist() == [10, 20, 30]
    assert data.valid is not None
    assert data.test is not None
    assert data.valid.indptr.tolist() == [0, 1, 1, 1]
    assert data.test.indptr.tolist() == [0, 1, 2, 3]
    assert data.test.indices.tolist() == [2, 1, 3]
    assert data.test.n_items == 4
    assert data.test.users().tolist() == [0, 1, 2]
    assert (data.n_users, data.n_items, data.n_train_users, data.n_train_items) == (3, 4, 2, 3)
    assert sorted(data.frame().select("user", "item", "split", "timestamp").rows()) == sorted(ROWS)


def test_a_data_set_without_a_split_has_no_held_out_views(tmp_path: Path) -> None:
    source = tmp_path / "log.csv"
    source.write_text("user,item\n0,0\n0,1\n1,1\n")
    data = import_dataset(source, tmp_path / "d")
    assert data.split is None
    assert data.valid is None
    assert data.test is None
    assert data.artifact.config["split"] is None
    assert data.train.user_ids is None  # ids 0..U-1 say nothing
    assert data.train.timestamps is None


@settings(max_examples=15, deadline=None)
@given(st.permutations(ROWS))
def test_row_order_does_not_change_a_byte(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]
) -> None:
    path = tmp_path_factory.mktemp("sets")
    one, two = write(path / "one", ROWS), write(path / "two", rows)
    assert one.digest == two.digest
    names = ("manifest.json", "dataset.json", "summary.md", "train.parquet", "users.parquet")
    assert files(one.path, *names) == files(two.path, *names)


def test_permuting_held_out_rows_leaves_the_training_view_alone(tmp_path: Path) -> None:
    before = write(tmp_path / "a", ROWS)
    moved = {"valid": "test", "test": "valid"}
    rows: list[tuple[object, ...]] = [
        (user, item, split, time) if split == "train" else (user, 35 - item, moved[split], -time)
        for user, item, split, time in ROWS
        if (split, item) != ("test", 20)
    ]
    after = write(tmp_path / "b", rows)
    assert before.train.digest == after.train.digest
    assert files(before.path, "train.parquet") == files(after.path, "train.parquet")
    assert before.digest != after.digest


def test_test_pairs_are_read_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path / "d", ROWS)
    opened: list[str] = []
    real = pl.read_parquet

    def spy(file: Path, **options: object) -> pl.DataFrame:
        opened.append(Path(file).name)
        return real(file, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pl, "read_parquet", spy)
    assert data.train.n_interactions == 3
    assert data.valid is not None
    assert "test.parquet" not in opened
    assert data.test is not None
    assert "test.parquet" in opened


def test_damage_is_found(tmp_path: Path) -> None:
    data = write(tmp_path / "d", ROWS)
    with pytest.raises(ArtifactError, match="does not exist"):
        load_dataset(tmp_path / "nowhere")
    content = (data.path / "test.parquet").read_bytes()
    (data.path / "test.parquet").write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match=r"test\.parquet was changed or cut"):
        load_dataset(data.path)
    (data.path / "test.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"test\.parquet is missing"):
        load_dataset(data.path)


def test_without_training_rows_there_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training interactions"):
        write(tmp_path / "d", [("u1", 1, "test", 0)])
    assert not (tmp_path / "d").exists()


def test_item_names_and_an_explicit_catalogue(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\na,2\nb,4\na,4\n")
    (tmp_path / "items.csv").write_text("item_id,title,year\n4,Four,2004\n3,Three,2003\n2,Two,2002\n")
    plain = import_dataset(
        tmp_path / "log.csv", tmp_path / "plain", ImportOptions(items=tmp_path / "items.csv")
    )
    assert plain.items.rows() == [(2, "Two", "2002"), (4, "Four", "2004")]
    options = ImportOptions(items=tmp_path / "items.csv", catalogue=True)
    full = import_dataset(tmp_path / "log.csv", tmp_path / "full", options)
    assert full.items["name"].to_list() == ["Two", "Three", "Four"]
    assert full.train.n_items == 3
    assert full.train.item_counts.tolist() == [1, 0, 2]


def test_an_item_table_of_other_items_is_refused_and_a_partial_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\na,2\nb,4\n")
    table = tmp_path / "items.csv"
    table.write_text("id,title\n9,Nine\n")
    with pytest.raises(DataError, match="none of its 1 ids is one of the log's items"):
        import_dataset(tmp_path / "log.csv", tmp_path / "d", ImportOptions(items=table))
    table.write_text("id,title\n4,Four\nx,Ex\n")
    data = import_dataset(tmp_path / "log.csv", tmp_path / "d", ImportOptions(items=table))
    assert data.items["name"].to_list() == [None, "Four"]
    assert any("1 of 2 items are not in it" in note for note in data.notes)


def test_summary_and_facts_speak_of_the_same_set(tmp_path: Path) -> None:
    data = write(tmp_path / "d", ROWS)
    facts = json.loads((data.path / "dataset.json").read_text())
    assert facts["tables"]["train"] == {
        "rows": 3,
        "columns": {"user": "UInt32", "item": "UInt32", "timestamp": "Int64"},
    }
    text = (data.path / "summary.md").read_text()
    assert "| train interactions | 3 |" in text
    assert "| users without training rows (cold) | 1 |" in text
