"""Bad input gets an error with the file and the line or column, and leaves nothing behind."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest

from dtlns.data.dataset import load_dataset
from dtlns.data.importing import ImportOptions, import_dataset
from dtlns.data.readers import ReadOptions, read_log
from dtlns.data.readers.text import CHUNK, check_text
from dtlns.errors import ArtifactError, DataError, InputError

CSV_CASES = {
    "missing column": (b"a,item\n1,2\n", r"x\.csv has no column that looks like the user"),
    "two columns": (b"user,user_id,item\n1,2,3\n", r"'user' and 'user_id' could both be the user"),
    "column twice": (b"user,user,item\n1,2,3\n", r"line 1: the column 'user' is there twice"),
    "short row": (b"user,item,time\n1,2,5\n2,3\n4,5,6\n", r"line 3 has 2 fields .* 3 fields"),
    "long row": (b"user,item,time\n1,2,5\n2,3,4,9\n", r"line 3 has 4 fields .* 3 fields"),
    "blank row": (b"user,item\n1,2\n\n2,3\n", r"line 3 is blank"),
    "negative": (b"user,item\n1,2\n-2,3\n", r"line 3: user id is '-2' .* 0 or more"),
    "overflow": (
        b"user,item\n1,99999999999999999999\n",
        r"line 2: item id is '9{20}' .* at most 9223372036854775807",
    ),
    "NaN id": (b"user,item\n1,2\nNaN,3\n", r"line 3: user id is 'NaN'"),
    "empty id": (b"user,item\n1,2\n2,\n", r"line 3: item id is missing"),
    "fraction": (b"user,item\n1,2\n1.0,3\n", r"line 3: user id is '1\.0' .* an integer"),
    "NaN rating": (b"user,item,rating\n1,2,5\n2,3,NaN\n", r"line 3: rating is 'NaN' .* finite"),
    "no number": (b"user,item,rating\n1,2,five\n", r"line 2: rating is 'five'"),
    "weight zero": (b"user,item,weight\n1,2,0\n", r"line 2: weight is 0\.0 .* positive"),
    "time": (b"user,item,timestamp\n1,2,964982703\n1,3,soon\n", r"line 3: timestamp is 'soon'"),
    "ISO time": (
        b"user,item,timestamp\n1,2,2016-01-01\n1,3,2016-13-01\n",
        r"line 3: timestamp is '2016-13-01'",
    ),
    "mixed times": (
        b"user,item,timestamp\n1,2,964982703000\n1,3,964982703\n",
        r"x\.csv: timestamps of magnitude",
    ),
    "empty file": (b"", r"x\.csv is empty"),
    "header only": (b"user,item\n", r"x\.csv has a header and no rows"),
    "blank rows only": (b"user,item\n\n\n", r"x\.csv has no rows but blank ones"),
    "no header": (b"1,2\n3,4\n", r"line 1 holds numbers only"),
    "latin-1": ("user,item\nJosé,1\n".encode("latin-1"), r"line 2: the byte 0xe9 is not valid UTF-8"),
    "UTF-16": ("user,item\n1,2\n".encode("utf-16"), r"x\.csv is UTF-16 text"),
    "binary": (bytes(range(256)) * 8, r"line 1: a NUL byte"),
    "gzip": (b"\x1f\x8b\x08\x00rest", r"x\.csv is compressed with gzip"),
    "cut character": (b"user,item\n1,2\n\xc3", r"line 3: cut within a character"),
    "endless line": (b"user,item\n1," + b"2" * (2 * CHUNK) + b"\n", r"line 2 is longer than 1,048,576 bytes"),
    "open quote": (b'user,item\n"a,2\n4,3\n', r"has 1 fields .* 2 fields"),
}


@pytest.mark.parametrize("name", CSV_CASES)
def test_bad_csv_is_named(tmp_path: Path, name: str) -> None:
    content, message = CSV_CASES[name]
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_dataset(file, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def _parquet(**columns: pl.Series) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


def test_bad_parquet_is_named(tmp_path: Path) -> None:
    good = _parquet(user=pl.Series(range(100)), item=pl.Series(range(100)))
    ones = pl.Series([1, 1])
    cases = {
        "text": (b"hello", "not a Parquet file"),
        "cut": (good[:-40], "is broken"),
        "magic only": (b"PAR1", "is broken"),
        "damaged": (good[:10] + b"\xff" * 60 + good[70:], "is broken"),
        "no rows": (
            _parquet(user=pl.Series([], dtype=pl.Int64), item=pl.Series([], dtype=pl.Int64)),
            "has no rows",
        ),
        "null": (_parquet(user=pl.Series([1, None]), item=ones), "row 2: user id is missing"),
        "negative": (_parquet(user=pl.Series([1, -1]), item=ones), "row 2: user id is -1"),
        "float": (_parquet(user=pl.Series([1.0, 2.0]), item=ones), "column 'user' is of type Float64"),
        "list": (_parquet(user=pl.Series([[1], [2]]), item=ones), r"column 'user' is of type List"),
        "big": (
            _parquet(user=pl.Series([1, 2**63], dtype=pl.UInt64), item=ones),
            "row 2: user id is 9223372036854775808",
        ),
    }
    for name, (content, message) in cases.items():
        file = tmp_path / f"{name}.parquet"
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_log(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0 1 2\n1 -4\n", r"line 2: '-4' is not a usable id"),
        (b"0 1 2\n1 9223372036854775808\n", r"line 2: '9223372036854775808' is not a usable id"),
        (b"0 1 2\n1 4 abc\n", r"line 2: 'abc' is not a usable id"),
        (b"0 1 2\n1 4.5\n", r"line 2: '4\.5' is not a usable id"),
        (b"0\n1\n", r"has no interactions"),
    ],
)
def test_bad_adjacency_lists_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_log(file, "lightgcn")


def test_bad_pairs_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5\n\n0 5 6\n")
    (tmp_path / "test.txt").write_text("0 7\n")
    with pytest.raises(DataError, match=r"train\.txt, line 3 has 3 fields"):
        read_log(tmp_path, "dtl-ns")
    (tmp_path / "test.txt").unlink()
    (tmp_path / "train.txt").write_text("0 5\n")
    with pytest.raises(DataError, match=r"test\.txt does not exist"):
        read_log(tmp_path, "dtl-ns")


def test_wrong_paths_and_formats(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_log(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="of no known form"):
        read_log(tmp_path)
    with pytest.raises(DataError, match="is a folder"):
        read_log(tmp_path, "csv")
    with pytest.raises(DataError, match="'netflix' is unknown"):
        read_log(tmp_path, "netflix")
    prose = tmp_path / "x.dat"
    prose.write_text("hello world\n")
    with pytest.raises(DataError, match="is not recognised"):
        read_log(prose)
    prose.write_text("user::item\n1::2\n")
    with pytest.raises(DataError, match="the separator '::' cannot be used"):
        read_log(prose, "csv", ReadOptions(separator="::"))


def test_nothing_left_or_nothing_to_rank(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("user,item,rating\n1,2,3\n2,2,5\n")
    with pytest.raises(DataError, match="one item only"):
        import_dataset(file, tmp_path / "out")
    with pytest.raises(DataError, match="none of the 2 rows has a rating of 6"):
        import_dataset(file, tmp_path / "out", ImportOptions(min_rating=6))
    with pytest.raises(DataError, match="no interaction is left in the k-core"):
        import_dataset(file, tmp_path / "out", ImportOptions(core_users=3))
    with pytest.raises(InputError, match="needs an item table"):
        import_dataset(file, tmp_path / "out", ImportOptions(catalogue=True))
    file.write_text("user,item\n1,2\n2,3\n")
    with pytest.raises(DataError, match="no rating column"):
        import_dataset(file, tmp_path / "out", ImportOptions(min_rating=4))
    assert not (tmp_path / "out").exists()


def test_an_existing_output_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("user,item\n1,2\n2,3\n")
    first = import_dataset(file, tmp_path / "out")
    with pytest.raises(ArtifactError, match="exists"):
        import_dataset(file, tmp_path / "out")
    file.write_text("broken\n")
    with pytest.raises(DataError):
        import_dataset(file, tmp_path / "out", force=True)
    assert load_dataset(tmp_path / "out").digest == first.digest


def test_text_is_checked_across_chunk_borders(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    # A two-byte character lies across the border of the first chunk.
    file.write_bytes(b"a\n" * (CHUNK // 2 - 1) + b"b" + "é\n".encode() + b"last")
    assert check_text(file) == CHUNK // 2 + 1
    file.write_bytes(b"a\n" * (CHUNK // 2 - 1) + b"b\xc3\n")
    with pytest.raises(DataError, match=f"line {CHUNK // 2}: the byte 0xc3"):
        check_text(file)
    file.write_bytes(b"a\n" * 10 + b"x" * 300 + b"\n")
    with pytest.raises(DataError, match="line 11 is longer than 200 bytes"):
        check_text(file, max_line=200)
    assert check_text(file, max_line=300) == 11
