"""Parquet with named columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dtlns.data.readers.base import Place, RawLog, ReadOptions
from dtlns.data.readers.columns import resolve_columns, typed_frame
from dtlns.data.readers.text import check_file
from dtlns.errors import DataError


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
    table = parquet_table(path)
    roles = resolve_columns(path, table.columns, options.columns)
    note = f"{path.name}: " + ", ".join(f"{role} = {name!r}" for role, name in roles.items())
    frame = typed_frame(table, roles, options, Place(path))
    return RawLog(frame, "parquet", (path,), notes=(note,))


def parquet_table(path: Path) -> pl.DataFrame:
    """Read a whole Parquet file.

    Args:
        path: The file.

    Raises:
        DataError: It is missing, broken or without rows.
    """
    check_file(path)
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic != b"PAR1":
        raise DataError(
            f"{path} is not a Parquet file (it starts with {magic!r})", hint="choose another --format"
        )
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise DataError(f"{path} is broken ({first})", hint="write or copy the file again") from error
    if table.height == 0:
        raise DataError(f"{path} has no rows")
    return table
