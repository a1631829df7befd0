"""Thresholds, merged duplicates, k-core and the order of ids."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns.data.ids import index_ids
from dtlns.data.kcore import k_core
from dtlns.data.prepare import prepare
from dtlns.data.readers import RawLog
from dtlns.errors import DataError, InputError


def log(**columns: list[object]) -> RawLog:
    return RawLog(pl.DataFrame(columns), "csv", (Path("log.csv"),))


def test_threshold_comes_before_merging() -> None:
    prepared = prepare(
        log(user=[1, 1, 2], item=[5, 5, 6], rating=[2.0, 4.0, 3.5], timestamp=[10, 20, 30]), min_rating=4
    )
    assert prepared.frame.rows() == [(1, 5, "train", 20)]
    assert any("1 of 3 rows" in note for note in prepared.notes)


def test_duplicates_keep_the_earliest_time_and_sum_the_weights() -> None:
    prepared = prepare(
        log(
            user=[1, 1, 1],
            item=[5, 5, 6],
            timestamp=[30, 20, 10],
            weight=pl.Series([1.5, 2.0, 4.0], dtype=pl.Float32),
        )
    )
    assert prepared.frame.sort("item").rows() == [(1, 5, "train", 20, 3.5), (1, 6, "train", 10, 4.0)]
    assert any("1 repeated rows merged (weights summed)" in note for note in prepared.notes)


def test_a_pair_in_two_parts_stays_in_the_earlier_one() -> None:
    prepared = prepare(
        log(user=[1, 1, 1, 1], item=[5, 5, 6, 6], split=["test", "train", "test", "valid"]),
    )
    assert prepared.frame.sort("item").rows() == [(1, 5, "train"), (1, 6, "valid")]
    assert any("2 held-out pairs removed" in note for note in prepared.notes)


def test_k_core_of_a_source_with_a_split_is_refused_unless_it_is_ignored() -> None:
    raw = log(user=[1, 1, 2, 2, 3], item=[1, 2, 1, 2, 9], split=["train", "train", "test", "test", "train"])
    with pytest.raises(DataError, match="has a split"):
        prepare(raw, core_users=2, core_items=2)
    prepared = prepare(raw, core_users=2, core_items=2, ignore_split=True)
    assert prepared.frame.height == 4
    assert not prepared.has_split


def naive_core(pairs: set[tuple[int, int]], users: int, items: int) -> set[tuple[int, int]]:
    while True:
        per_user, per_item = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        kept = {(u, i) for u, i in pairs if per_user[u] >= users and per_item[i] >= items}
        if kept == pairs:
            return kept
        pairs = kept


@settings(deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1), st.integers(1, 4), st.integers(1, 4)
)
def test_k_core_equals_the_naive_one(pairs: set[tuple[int, int]], users: int, items: int) -> None:
    ordered = sorted(pairs, key=lambda pair: hash(pair) % 97)
    frame = pl.DataFrame({"user": [u for u, _ in ordered], "item": [i for _, i in ordered]})
    expected = naive_core(pairs, users, items)
    if not expected:
        with pytest.raises(DataError, match="no interaction is left"):
            k_core(frame, users, items)
        return
    kept, _ = k_core(frame, users, items)
    assert kept.rows() == [pair for pair in ordered if pair in expected]


def test_k_core_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="is 0"):
        k_core(pl.DataFrame({"user": [1], "item": [1]}), 0, 1)


ids = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=30)


@settings(deadline=None)
@given(ids, ids)
def test_ids_are_in_numeric_order_warm_ones_first(train: list[int], held: list[int]) -> None:
    index = index_ids(pl.Series(train, dtype=pl.Int64), pl.Series(held, dtype=pl.Int64))
    expected = sorted(set(train)) + sorted(set(held) - set(train))
    assert index.ids.to_list() == expected
    assert index.n_warm == len(set(train))
    positions = index.index_of(pl.Series(held, dtype=pl.Int64)).tolist()
    assert [expected[position] for position in positions] == held


def test_strings_are_ordered_by_code_point() -> None:
    index = index_ids(pl.Series(["b", "B", "10", "9", "é"]), pl.Series(["a", "b"]))
    assert index.ids.to_list() == ["10", "9", "B", "b", "é", "a"]
    assert index.n_warm == 5


def test_an_explicit_catalogue_joins_the_training_ids() -> None:
    index = index_ids(pl.Series([3, 1]), pl.Series([7, 5]), pl.Series([5, 2]))
    assert index.ids.to_list() == [1, 2, 3, 5, 7]
    assert index.n_warm == 4
