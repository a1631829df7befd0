"""CSV and TSV with named columns."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl

from dtlns.data.readers.base import Place, RawLog, ReadOptions
from dtlns.data.readers.columns import resolve_columns, typed_frame
from dtlns.data.readers.text import check_text, head
from dtlns.errors import DataError

SEPARATORS = "\t,;|"


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
    table, place = text_table(path, separator=options.separator, header=options.header)
    roles = resolve_columns(path, table.columns, options.columns)
    ignored = [name for name in table.columns if name not in roles.values()]
    notes = [f"{path.name}: " + ", ".join(f"{role} = {name!r}" for role, name in roles.items())]
    if ignored:
        notes.append(f"{path.name}: columns not used: " + ", ".join(map(repr, ignored)))
    return RawLog(typed_frame(table, roles, options, place), "csv", (path,), notes=tuple(notes))


def text_table(
    path: Path,
    *,
    separator: str | None = None,
    header: tuple[str, ...] | None = None,
    quote: str | None = '"',
) -> tuple[pl.DataFrame, Place]:
    """Read a text table as strings, every row with the same number of fields.

    Args:
        path: The file.
        separator: One character, or None to take the one that the first line has most of.
        header: Column names for a file without a header line.
        quote: Character around fields that hold separators, or None where there is none.

    Returns:
        The table, all columns strings, and what names its rows.

    Raises:
        DataError: It is not UTF-8 text, has no rows, or a row has too many or too few fields.
    """
    lines = check_text(path)
    if separator is None:
        separator = sniff_separator(path)
    elif len(separator) != 1 or ord(separator) > 127:
        raise DataError(f"the separator {separator!r} cannot be used", allowed="one ASCII character")
    names = list(header) if header is not None else _header(path, separator)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}, line 1: the column {twice!r} is there twice")
    skip = 0 if header is not None else 1
    if lines <= skip:
        raise DataError(f"{path} has a header and no rows")
    try:
        table = pl.read_csv(
            path,
            separator=separator,
            quote_char=quote,
            has_header=False,
            skip_rows=skip,
            new_columns=names,
            infer_schema=False,
            raise_if_empty=False,
            low_memory=True,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        _explain_ragged(path, separator, len(names), quote)
        raise DataError(f"{path} cannot be read as a table ({str(error).splitlines()[0]})") from error
    place = Place(path, skip + 1 if table.height + skip == lines else None)
    table = _without_blank_end(table)
    if table.height == 0:
        raise DataError(f"{path} has no rows but blank ones")
    if table.width != len(names):
        _explain_ragged(path, separator, len(names), quote)
        raise DataError(f"{path} has {table.width} columns", allowed=f"{len(names)}: {', '.join(names)}")
    # The parser pads a row that is too short with nulls, so its last field is one.
    if table[table.columns[-1]].null_count():
        _explain_ragged(path, separator, len(names), quote)
    return table, place


def sniff_separator(path: Path) -> str:
    """Return the separator that the first line has most of, a comma where it has none.

    Args:
        path: A text file.
    """
    first = next(iter(head(path, 1)), "")
    best = max(SEPARATORS, key=first.count)
    return best if first.count(best) else ","


def _without_blank_end(table: pl.DataFrame) -> pl.DataFrame:
    """Drop blank lines at the end; one before other rows is an error of its own."""
    height = table.height
    while height and all(value is None for value in table.row(height - 1)):
        height -= 1
    return table.head(height)


def _header(path: Path, separator: str) -> list[str]:
    first = next(iter(head(path, 1)), "")
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    if not any(names):
        raise DataError(f"{path}, line 1 is blank", allowed="a line with the column names")
    if all(_is_number(name) for name in names):
        raise DataError(
            f"{path}, line 1 holds numbers only ({first[:60]!r}), no column names",
            hint="name the columns with --header user,item,…",
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _explain_ragged(path: Path, separator: str, width: int, quote: str | None) -> None:
    """Find the first row with another number of fields; slow, so only on the way to an error."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if quote is None:
            reader = csv.reader(stream, delimiter=separator, quoting=csv.QUOTE_NONE)
        else:
            reader = csv.reader(stream, delimiter=separator, quotechar=quote)
        try:
            for row in reader:
                if len(row) != width:
                    shown = "is blank" if not row else f"has {len(row)} fields"
                    raise DataError(
                        f"{path}, line {reader.line_num} {shown}", allowed=f"{width} fields in every row"
                    )
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from error
