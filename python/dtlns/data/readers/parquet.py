"""Parquet with named columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dtlns.data.readers.base import Place, RawLog, ReadOptions
from dtlns.data.readers.columns import column_notes, resolve_columns, typed_frame
from dtlns.data.readers.text import check_file
from dtlns.errors import DataError

# A damaged file makes the parser panic in places; its panics are no Exception.
_BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def read_parquet(path: Path, options: ReadOptions) -> RawLog:
    """Read a Parquet file of interactions.

    Args:
        path: The file.
        options: Column names, id type, time unit.

    Returns:
        The log.

    Raises:
        DataError: The file is broken, or its columns are not interactions.
    """
    names = _columns(path)
    roles = resolve_columns(path, names, options.columns)
    table = parquet_table(path, sorted(set(roles.values())))
    notes = column_notes(path, names, roles)
    return RawLog(typed_frame(table, roles, options, Place(path)), "parquet", (path,), notes=notes)


def parquet_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file.

    Args:
        path: The file.
        columns: The columns to read, or None for all.

    Raises:
        DataError: It is missing, broken or without rows.
    """
    _columns(path)
    try:
        table = pl.read_parquet(path, columns=columns, glob=False)
    except _BROKEN as error:
        raise _broken(path, error) from error
    if table.height == 0:
        raise DataError(f"{path} has no rows")
    return table


def _columns(path: Path) -> list[str]:
    """Read the column names, which needs the file's end only."""
    check_file(path)
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic != b"PAR1":
        raise DataError(
            f"{path} is not a Parquet file (it starts with {magic!r})", hint="choose another --format"
        )
    try:
        return pl.scan_parquet(path, glob=False).collect_schema().names()
    except _BROKEN as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: BaseException) -> DataError:
    first = (str(error).splitlines() or ["unreadable"])[0]
    return DataError(f"{path} is broken ({first})", hint="write or copy the file again")
