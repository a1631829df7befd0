"""CSV and TSV with named columns."""

from __future__ import annotations

from pathlib import Path

from dtlns.data.readers.base import RawLog, ReadOptions
from dtlns.data.readers.columns import column_notes, resolve_columns, typed_frame
from dtlns.data.readers.text_table import open_text_table


def read_csv(path: Path, options: ReadOptions) -> RawLog:
    """Read a text table whose first line names its columns (or whose names are given).

    Args:
        path: The file.
        options: Column names, separator, header, id type, time unit.

    Returns:
        The log.

    Raises:
        DataError: It is not a table of interactions; the message names file and line or column.
    """
    table = open_text_table(path, separator=options.separator, header=options.header)
    roles = resolve_columns(path, table.names, options.columns)
    rows, place = table.read(roles.values())
    notes = column_notes(path, table.names, roles)
    return RawLog(typed_frame(rows, roles, options, place), "csv", (path,), notes=notes)
