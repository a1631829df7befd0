"""Each reader on a file whose content is known by heart."""

from __future__ import annotations

import itertools
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns.data.readers import ReadOptions, detect_format, integers, read_log, read_table
from dtlns.errors import DataError


def pairs(frame: pl.DataFrame) -> list[tuple[object, object]]:
    return list(zip(frame["user"].to_list(), frame["item"].to_list(), strict=True))


def test_csv_recognises_columns_by_their_usual_names(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("userId,movieId,rating,timestamp\n7,31,2.5,1260759144\n3,1029,4,1260759179\n")
    log = read_log(file)
    assert log.format == "csv"
    assert log.frame.to_dict(as_series=False) == {
        "user": [7, 3],
        "item": [31, 1029],
        "rating": [2.5, 4.0],
        "timestamp": [1260759144, 1260759179],
    }
    assert not log.has_split


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_csv_recognises_the_separator(tmp_path: Path, separator: str) -> None:
    file = tmp_path / "log.csv"
    file.write_text(
        separator.join(["user", "item", "weight"]) + "\n" + separator.join(["ann", "x y", "2.5"]) + "\n"
    )
    assert read_log(file).frame.rows() == [("ann", "x y", 2.5)]


def test_csv_takes_named_columns_and_says_what_it_ignores(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("who,what,user\n1,2,3\n")
    log = read_log(file, options=ReadOptions(columns={"user": "who", "item": "what"}))
    assert pairs(log.frame) == [(1, 2)]
    assert any("'user'" in note and "not used" in note for note in log.notes)


def test_csv_without_header_byte_order_mark_crlf_quotes_and_blank_end(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(b'\xef\xbb\xbf"a,b",1\r\n"c\nd",2\r\n\r\n')
    log = read_log(file, options=ReadOptions(header=("user", "item")))
    assert pairs(log.frame) == [("a,b", 1), ("c\nd", 2)]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["10", "9"], [10, 9]),
        (["9223372036854775807", "0"], [2**63 - 1, 0]),
        (["007", "7"], ["007", "7"]),  # zero-padded codes are names: they may be two
        (["a", "7"], ["a", "7"]),
        (["Zoë", "株"], ["Zoë", "株"]),
    ],
)
def test_ids_are_integers_only_where_every_one_is(
    tmp_path: Path, ids: list[str], expected: list[object]
) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,item\n" + "".join(f"{user},1\n" for user in ids), encoding="utf-8")
    assert read_log(file).frame["user"].to_list() == expected


def test_id_type_string_keeps_what_looks_like_a_number_or_a_gap(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,item\n-5,NA\n99999999999999999999,nan\n")
    log = read_log(file, options=ReadOptions(id_type="string"))
    assert pairs(log.frame) == [("-5", "NA"), ("99999999999999999999", "nan")]


NOON = 1476705600  # 2016-10-17T12:00:00Z, by `date -u -d @1476705600`


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (str(NOON), NOON),
        (f"{NOON}999", NOON),
        (f"{NOON}999999", NOON),
        (f"{NOON}999999999", NOON),
        (f"{NOON}.9", NOON),
        ("-1.5", -2),
        ("2016-10-17T12:00:00Z", NOON),
        ("2016-10-17T12:00:00", NOON),
        ("2016-10-17 12:00:00", NOON),
        ("2016-10-17T12:00", NOON),
        ("2016-10-17T14:00:00.5+02:00", NOON),
        ("2016-10-17 14:00:00+02:00", NOON),
        ("2016-10-17", NOON - 12 * 3600),
    ],
)
def test_times_become_whole_seconds(tmp_path: Path, text: str, seconds: int) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"user,item,timestamp\n1,2,{text}\n")
    assert read_log(file).frame["timestamp"].to_list() == [seconds]


def test_time_unit_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("user,item,timestamp\n1,2,1500\n1,3,-1\n")
    assert read_log(file, options=ReadOptions(time_unit="ms")).frame["timestamp"].to_list() == [1, -1]


def test_parquet_with_typed_columns(tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    times = pl.Series([NOON * 1000]).cast(pl.Datetime("ms"))
    users = pl.Series(["ann"], dtype=pl.Categorical)
    pl.DataFrame({"user": users, "item": pl.Series([3], dtype=pl.UInt8), "timestamp": times}).write_parquet(
        file
    )
    log = read_log(file)
    assert log.format == "parquet"
    assert log.frame.rows() == [("ann", 3, NOON)]


def test_recbole_file_and_folder_with_a_split(tmp_path: Path) -> None:
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    for split, row in (("train", "196\t242\t3\t881250949\n"), ("test", "196\t302\t4\t881250950\n")):
        (tmp_path / f"toy.{split}.inter").write_text(head + row)
    log = read_log(tmp_path)
    assert log.format == "recbole"
    assert log.frame["split"].to_list() == ["train", "test"]
    one = read_log(tmp_path / "toy.train.inter")
    assert one.frame.rows() == [(196, 242, 3.0, 881250949)]
    assert not one.has_split


def test_lightgcn_file_folder_and_users_without_items(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 3 1 2\n1 4\n2\n")
    (tmp_path / "test.txt").write_text("0 5\n\n1 6 7 \n")
    log = read_log(tmp_path)
    assert log.format == "lightgcn"
    train = log.frame.filter(pl.col("split") == "train")
    assert pairs(train) == [(0, 3), (0, 1), (0, 2), (1, 4)]
    assert pairs(log.frame.filter(pl.col("split") == "test")) == [(0, 5), (1, 6), (1, 7)]
    assert log.notes == ("1 lines name a user and no item",)
    assert pairs(read_log(tmp_path / "train.txt", "lightgcn").frame) == pairs(train)


lines = st.lists(st.lists(st.integers(0, 2**63 - 1), max_size=5), max_size=8)


@pytest.mark.parametrize("block", [1, 7, 64])
@settings(deadline=None, max_examples=40)
@given(rows=lines, end=st.sampled_from(["", "\n", " \r\n\n"]), mark=st.booleans())
def test_integer_lines_equal_a_naive_reading_for_any_block(
    block: int, rows: list[list[int]], end: str, mark: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "\n".join(" ".join(map(str, row)) for row in rows) + "\n0 1" + end
    file = tmp_path_factory.mktemp("lines") / "x.txt"
    file.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integers, "BLOCK", block)
        values, starts, numbers = integers.integer_lines(file)
    found = [values[a:b].tolist() for a, b in itertools.pairwise(starts.tolist())]
    naive = [(number, list(map(int, line.split()))) for number, line in enumerate(text.split("\n"), 1)]
    assert found == [row for _, row in naive if row]
    assert numbers.tolist() == [number for number, row in naive if row]


def test_recbole_splits_with_ids_of_two_kinds_become_strings(tmp_path: Path) -> None:
    for split, user in (("train", "7"), ("test", "ann")):
        (tmp_path / f"toy.{split}.inter").write_text(f"user_id:token\titem_id:token\n{user}\t1\n")
    assert read_log(tmp_path).frame["user"].to_list() == ["7", "ann"]


def test_names_with_wildcards_are_plain_names(tmp_path: Path) -> None:
    (tmp_path / "a1.csv").write_text("user,item\n5,6\n")
    odd = tmp_path / "a[1]*.csv"
    odd.write_text("user,item\n1,2\n")
    assert pairs(read_log(odd).frame) == [(1, 2)]
    table = tmp_path / "b[1]*.parquet"
    pl.DataFrame({"user": [3], "item": [4]}).write_parquet(table)
    assert pairs(read_log(table).frame) == [(3, 4)]


def test_dtl_ns_keeps_the_files_own_ids(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 2\n0 3\n1 4\n")
    (tmp_path / "valid.txt").write_text("1 2\n")
    (tmp_path / "test.txt").write_text("0 4\n")
    log = read_log(tmp_path)
    assert log.format == "dtl-ns"
    assert log.frame.rows() == [
        (0, 2, "train"),
        (0, 3, "train"),
        (1, 4, "train"),
        (1, 2, "valid"),
        (0, 4, "test"),
    ]


def test_dtl_ns_refuses_items_that_are_not_offset(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("5 2\n")
    with pytest.raises(DataError, match="item id 2 is not above the last user id 5"):
        read_log(tmp_path, "dtl-ns")


def test_formats_are_recognised_or_refused(tmp_path: Path) -> None:
    adjacency = tmp_path / "a.txt"
    adjacency.write_text("0 1 2 3\n1 4\n")
    assert detect_format(adjacency) == "lightgcn"
    table = tmp_path / "b.txt"
    table.write_text("user,item\n0,1\n")
    assert detect_format(table) == "csv"
    either = tmp_path / "c.txt"
    either.write_text("0 1\n1 4\n")
    with pytest.raises(DataError, match="columns or adjacency lists"):
        detect_format(either)
    (tmp_path / "train.txt").write_text("0 1\n1 4\n")
    with pytest.raises(DataError, match="may be lightgcn or dtl-ns"):
        detect_format(tmp_path)


def test_item_table_gives_names(tmp_path: Path) -> None:
    file = tmp_path / "movies.csv"
    file.write_text('movieId,title,genres\n2,"Jumanji, again",A|B\n1,Toy Story,C\n')
    table = read_table(file, "item")
    assert table.columns == ["id", "name", "genres"]
    assert table.rows()[0] == (2, "Jumanji, again", "A|B")
    file.write_text("movieId,title\n2,x\n2,y\n")
    with pytest.raises(DataError, match="the item id 2 is there twice"):
        read_table(file, "item")


def test_item_table_s_ids_may_be_called_as_in_the_log(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.csv"
    file.write_text("item_id,sku\n7,a\n8,b\n")
    assert read_table(file, "item", own="sku")["id"].to_list() == ["a", "b"]
    assert read_table(file, "item", own="article")["id"].to_list() == [7, 8]
    file.write_text("sku,colour\na,red\n")
    with pytest.raises(DataError, match="one of the columns 'sku', 'colour' · hint: name it as the log does"):
        read_table(file, "item")


def test_recbole_item_titles_may_hold_quotes(tmp_path: Path) -> None:
    file = tmp_path / "toy.item"
    file.write_text('item_id:token\tmovie_title:token_seq\n1\t"Great" Cats\n2\tOne "\n')
    assert read_table(file, "item")["name"].to_list() == ['"Great" Cats', 'One "']
