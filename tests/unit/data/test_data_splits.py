"""Splits: shares, clocks, what each user keeps, and that one user's draws are his own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns.data.dataset import Dataset
from dtlns.data.importing import import_dataset
from dtlns.data.splits import assign, split_dataset
from dtlns.errors import DataError, InputError


def random_log(users: int, seed: int = 0, names: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        items = rng.choice(50, size=rng.integers(1, 40), replace=False).tolist()
        times = rng.integers(0, 10**6, size=len(items)).tolist()
        rows += [
            (f"user {user}" if names else user, item, time) for item, time in zip(items, times, strict=True)
        ]
    return pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")


def imported(tmp_path: Path, log: pl.DataFrame) -> Dataset:
    log.write_parquet(tmp_path / "log.parquet")
    return import_dataset(tmp_path / "log.parquet", tmp_path / "d")


def test_random_keeps_the_shares_and_a_training_row_of_each_user() -> None:
    log = random_log(200)
    log = log.with_columns(split=assign(log, "random", valid=0.1, test=0.2, seed=1))
    sizes = log.group_by("user").agg(
        n=pl.len(),
        train=(pl.col("split") == "train").sum(),
        valid=(pl.col("split") == "valid").sum(),
        test=(pl.col("split") == "test").sum(),
    )
    for _, n, train, valid, test in sizes.rows():
        assert train >= 1
        assert train + valid + test == n
        if n > 2:
            assert abs(test - 0.2 * n) <= 0.5 + 1e-9
            assert abs(valid - 0.1 * n) <= 0.5 + 1e-9
    assert sizes.filter(pl.col("n") == 1)["train"].to_list() == [1] * sizes.filter(pl.col("n") == 1).height


def test_random_is_uniform_over_a_users_items() -> None:
    log = pl.DataFrame({"user": [3] * 10, "item": list(range(10))})
    counts = np.zeros(10)
    for seed in range(2000):
        counts += (assign(log, "random", valid=0.0, test=0.2, seed=seed) == "test").to_numpy()
    # Each item is held out with chance 0.2: 400 ± 5 standard deviations of 17.9.
    assert counts.sum() == 4000
    assert np.abs(counts - 400).max() < 90


@pytest.mark.parametrize("names", [False, True])
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**63 - 1))
def test_one_users_draws_depend_on_nobody_else_nor_on_row_order(names: bool, seed: int) -> None:
    log = random_log(12, names=names)
    both = log.with_columns(split=assign(log, "random", valid=0.1, test=0.2, seed=seed)).sort("user", "item")
    shuffled = log.sample(fraction=1.0, shuffle=True, seed=seed % 1000)
    again = shuffled.with_columns(split=assign(shuffled, "random", valid=0.1, test=0.2, seed=seed))
    assert again.sort("user", "item").equals(both)
    some = log.filter(pl.col("user") != log["user"][0])
    alone = some.with_columns(split=assign(some, "random", valid=0.1, test=0.2, seed=seed)).sort(
        "user", "item"
    )
    assert alone.equals(both.filter(pl.col("user") != log["user"][0]))


def test_seeds_differ() -> None:
    log = random_log(50)
    one, two = (assign(log, "random", valid=0.1, test=0.2, seed=seed).to_list() for seed in (0, 1))
    assert one != two


def test_time_cuts_the_clock() -> None:
    log = random_log(100)
    log = log.with_columns(split=assign(log, "time", valid=0.1, test=0.2, seed=0))
    bounds = {
        name: (part["timestamp"].min(), part["timestamp"].max()) for (name,), part in log.group_by("split")
    }
    assert bounds["train"][1] < bounds["valid"][0]
    assert bounds["valid"][1] < bounds["test"][0]
    assert abs((log["split"] == "test").mean() - 0.2) < 0.01
    assert abs((log["split"] == "valid").mean() - 0.1) < 0.01


def test_rows_of_one_second_stay_together() -> None:
    log = pl.DataFrame({"user": range(10), "item": range(10), "timestamp": [1, 1, 1, 2, 2, 2, 2, 2, 3, 3]})
    parts = assign(log, "time", valid=0.3, test=0.2, seed=0).to_list()
    assert parts == ["train"] * 3 + ["valid"] * 5 + ["test"] * 2
    same = log.with_columns(timestamp=pl.lit(7))
    with pytest.raises(DataError, match="leaves no train rows"):
        assign(same, "time", valid=0.1, test=0.2, seed=0)


def test_last_out_takes_the_last_rows() -> None:
    log = pl.DataFrame(
        {"user": [1, 1, 1, 1, 2, 2, 3], "item": [1, 2, 3, 4, 1, 2, 1], "timestamp": [4, 1, 3, 2, 5, 6, 1]}
    )
    parts = assign(log, "last-out", valid=0.1, test=0.2, seed=0).to_list()
    assert parts == ["test", "train", "valid", "train", "train", "test", "train"]


def test_last_out_says_that_it_leaks_time(tmp_path: Path) -> None:
    data = imported(tmp_path, random_log(20))
    split = split_dataset(data, tmp_path / "s", by="last-out")
    assert any("leaks time" in note for note in split.notes)
    assert "leaks time" in (split.path / "summary.md").read_text()


def test_split_folder_is_deterministic_and_whole(tmp_path: Path) -> None:
    data = imported(tmp_path, random_log(30))
    one = split_dataset(data, tmp_path / "one", seed=3)
    two = split_dataset(data.path, tmp_path / "two", seed=3)
    assert one.digest == two.digest
    assert one.split == {"by": "random", "seed": 3, "valid": 0.1, "test": 0.2, "keep_test": False}
    assert (
        one.frame().drop("split").sort("user", "item").equals(data.frame().drop("split").sort("user", "item"))
    )


def test_keep_test_cuts_validation_out_of_training(tmp_path: Path) -> None:
    source = tmp_path / "lists"
    source.mkdir()
    (source / "train.txt").write_text(
        "".join(f"{u} " + " ".join(map(str, range(u % 3, 20))) + "\n" for u in range(9))
    )
    (source / "test.txt").write_text("".join(f"{u} {20 + u}\n" for u in range(9)))
    data = import_dataset(source, tmp_path / "d")
    with pytest.raises(DataError, match="has a split already"):
        split_dataset(data, tmp_path / "s")
    split = split_dataset(data, tmp_path / "s", keep_test=True)
    assert split.valid is not None
    whole, cut = data.frame(), split.frame()
    for part in ("test",):
        assert (
            cut.filter(pl.col("split") == part)
            .sort("user")
            .equals(whole.filter(pl.col("split") == part).sort("user"))
        )
    assert split.train.n_interactions + split.valid.n_interactions == data.train.n_interactions
    assert split.valid.n_interactions == 9 * 2
    with pytest.raises(DataError, match="train, valid, test"):
        split_dataset(split, tmp_path / "again", keep_test=True)
    merged = split_dataset(split, tmp_path / "merged", resplit=True)
    assert merged.frame().height == whole.height


def test_impossible_splits_are_named(tmp_path: Path) -> None:
    log = random_log(20)
    data = imported(tmp_path, log.drop("timestamp"))
    with pytest.raises(DataError, match="has no times"):
        split_dataset(data, tmp_path / "s", by="time")
    with pytest.raises(InputError, match="leave nothing to train on"):
        split_dataset(data, tmp_path / "s", valid=0.5, test=0.5)
    with pytest.raises(InputError, match=r"test share is 1\.5"):
        split_dataset(data, tmp_path / "s", test=1.5)
    with pytest.raises(InputError, match="is the data set that would be split"):
        split_dataset(data, data.path, force=True)
    with pytest.raises(InputError, match="seed is -1"):
        split_dataset(data, tmp_path / "s", seed=-1)
    assert not (tmp_path / "s").exists()
