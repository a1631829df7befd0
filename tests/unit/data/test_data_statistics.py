"""Statistics against hand counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.importing import import_dataset
from dtlns.data.statistics import dataset_statistics, item_components
from dtlns.data.store import write_dataset
from dtlns.data.views import TrainView


def imported(tmp_path: Path, text: str) -> Dataset:
    (tmp_path / "log.csv").write_text(text)
    return import_dataset(tmp_path / "log.csv", tmp_path / "d")


def test_counts_by_hand(tmp_path: Path) -> None:
    rows = [
        (0, 0, "train", 86400),
        (0, 1, "train", 0),
        (1, 1, "train", 5),
        (2, 7, "train", 9),
        (0, 7, "test", 1),
        (9, 0, "test", 1),
        (1, 8, "valid", 1),
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "split", "timestamp"], orient="row")
    write_dataset(tmp_path / "d", frame, name="toy", config={"split": {"by": "source"}})
    found = dataset_statistics(load_dataset(tmp_path / "d"))
    assert (found["users"], found["items"], found["interactions"]) == (4, 4, 7)
    assert (found["cold_users"], found["cold_items"]) == (1, 1)
    train = found["train"]
    assert train["density"] == 4 / 9
    assert train["interactions_per_user"] == {
        "mean": 1.333, "0": 1, "0.1": 1, "0.25": 1, "0.5": 1, "0.75": 2, "0.9": 2, "0.99": 2, "1": 2
    }  # fmt: skip
    assert train["item_graph"] == {"components": 2, "largest": 2, "isolated_items": 1}
    assert train["time"] == ["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"]
    assert found["test"] == {
        "users": 2,
        "interactions": 2,
        "pairs_with_cold_user": 1,
        "pairs_with_cold_item": 0,
        "cold_pairs": 1,
    }
    assert found["valid"]["cold_pairs"] == 1
    assert any("1 items share no user" in warning for warning in found["warnings"])


def test_a_user_with_all_items_is_a_warning(tmp_path: Path) -> None:
    found = dataset_statistics(imported(tmp_path, "user,item\n1,1\n1,2\n2,1\n"))
    assert any("1 users have all items" in warning for warning in found["warnings"])
    assert any("no split yet" in warning for warning in found["warnings"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=20))
def test_components_equal_those_of_the_item_graph(pairs: list[tuple[int, int]]) -> None:
    rows, columns = zip(*pairs, strict=True)
    matrix = sp.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(8, 10))
    found = item_components(TrainView.from_csr(matrix))
    together = (matrix.T @ matrix).toarray() > 0
    reach = together | np.eye(10, dtype=bool)
    for _ in range(10):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert ((found[:, None] == found[None, :]) == reach).all()
