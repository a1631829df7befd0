"""Which reader a source needs: by name, or recognised from its form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dtlns.data.readers.base import RawLog, ReadOptions
from dtlns.data.readers.csv import read_csv
from dtlns.data.readers.dtl_ns import read_dtl_ns
from dtlns.data.readers.lightgcn import read_lightgcn
from dtlns.data.readers.parquet import read_parquet
from dtlns.data.readers.recbole import read_recbole
from dtlns.data.readers.text import check_file, head
from dtlns.errors import DataError

Reader = Callable[[Path, ReadOptions], RawLog]

READERS: dict[str, Reader] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "recbole": read_recbole,
    "lightgcn": read_lightgcn,
    "dtl-ns": read_dtl_ns,
}


def read_log(path: Path | str, format: str = "auto", options: ReadOptions | None = None) -> RawLog:
    """Read an interaction log.

    Args:
        path: A file, or a folder for the formats that are folders.
        format: `csv` (TSV too), `parquet`, `recbole`, `lightgcn`, `dtl-ns`, or `auto` to recognise it.
        options: Column names and units where the source does not tell.

    Returns:
        The log with the source's own ids, checked, nothing merged or filtered.

    Raises:
        DataError: The source cannot be read; the message names file and line or column.

    Example:
        >>> read_log("ratings.csv").frame.columns  # doctest: +SKIP
        ['user', 'item', 'rating', 'timestamp']
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist", hint="`dtlns data list` shows what can be imported by name")
    if format == "auto":
        format = detect_format(path)
    if format not in READERS:
        raise DataError(f"the format {format!r} is unknown", allowed=", ".join(["auto", *READERS]))
    if path.is_dir() and format in ("csv", "parquet"):
        raise DataError(f"{path} is a folder", allowed=f"a file for --format {format}")
    return READERS[format](path, options or ReadOptions())


def detect_format(path: Path) -> str:
    """Tell a source's format from its name and first lines.

    Args:
        path: A file or folder that exists.

    Returns:
        A key of `READERS`.

    Raises:
        DataError: Nothing fits, or two formats do.
    """
    if path.is_dir():
        return _detect_folder(path)
    check_file(path)
    suffix = path.suffix.lower()
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic == b"PAR1" or suffix in (".parquet", ".pq"):
        return "parquet"
    if suffix == ".inter":
        return "recbole"
    if suffix in (".csv", ".tsv"):
        return "csv"
    lines = [line for line in head(path) if line.strip()]
    if lines and ":token" in lines[0]:
        return "recbole"
    if lines and all(_integers(line) for line in lines):
        if any(len(line.split()) != 2 for line in lines) and "\t" not in lines[0]:
            return "lightgcn"
        raise DataError(
            f"{path} holds integers only, which may be columns or adjacency lists",
            hint="say --format lightgcn, or --format csv with --header user,item,…",
        )
    if lines and any(separator in lines[0] for separator in "\t,;|"):
        return "csv"
    raise DataError(
        f"the format of {path} is not recognised", allowed=", ".join(READERS), hint="name it with --format"
    )


def _detect_folder(path: Path) -> str:
    if (path / "manifest.json").is_file():
        raise DataError(
            f"{path} is a folder that dtlns wrote", hint="use it as it is, or `dtlns data split` it"
        )
    if any(path.glob("*.inter")):
        return "recbole"
    train = path / "train.txt"
    if not train.is_file():
        raise DataError(
            f"the folder {path} is of no known form",
            allowed="train.txt and test.txt (lightgcn, dtl-ns), or .inter files (recbole)",
            hint="or name a file",
        )
    check_file(train)
    lines = [line for line in head(train) if line.strip()]
    if not lines or not all(_integers(line) for line in lines):
        raise DataError(f"{train} does not hold lines of integers", hint="name the format with --format")
    if any(len(line.split()) != 2 for line in lines):
        return "lightgcn"
    pairs = [(int(user), int(item)) for user, item in (line.split() for line in lines)]
    users = [user for user, _ in pairs]
    offset = max(users) < min(item for _, item in pairs)
    if (path / "valid.txt").is_file() and offset:
        return "dtl-ns"
    if offset and len(set(users)) < len(users):
        return "dtl-ns"
    raise DataError(f"{path} may be lightgcn or dtl-ns", hint="name the format with --format")


def _integers(line: str) -> bool:
    return all(field.isascii() and field.isdigit() for field in line.split())
