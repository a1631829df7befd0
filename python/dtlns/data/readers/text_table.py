"""Tables as text: a header, a separator, every row with the same number of fields, all values strings."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dtlns.data.readers.base import Place
from dtlns.data.readers.text import check_text, head
from dtlns.errors import DataError

SEPARATORS = "\t,;|"


@dataclass(frozen=True)
class TextTable:
    """A text table whose bytes were checked and whose header is known.

    Attributes:
        path: The file.
        names: The column names, in order.
        separator: The character between fields.
        quote: The character around fields that hold separators, or None.
        skip: Lines before the first row, 0 or 1.
        lines: Lines of the file.
    """

    path: Path
    names: tuple[str, ...]
    separator: str
    quote: str | None
    skip: int
    lines: int

    def read(self, columns: Iterable[str] | None = None) -> tuple[pl.DataFrame, Place]:
        """Read the rows.

        Args:
            columns: Which columns, None for all; the others are not held in memory.

        Returns:
            The columns as strings, and what names their rows.

        Raises:
            DataError: There are no rows, or a row has too many or too few fields.
        """
        wanted = set(self.names if columns is None else columns)
        # The last column is read in any case: it tells which rows are too short.
        read = [name for name in self.names if name in wanted or name == self.names[-1]]
        if self.lines <= self.skip:
            raise DataError(f"{self.path} has a header and no rows")
        try:
            table = (
                pl.scan_csv(
                    self.path,
                    separator=self.separator,
                    quote_char=self.quote,
                    has_header=False,
                    skip_rows=self.skip,
                    schema=dict.fromkeys(self.names, pl.String),
                    glob=False,
                )
                .select(read)
                .collect()
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
            self._explain_ragged()
            first = (str(error).splitlines() or ["unreadable"])[0]
            raise DataError(f"{self.path} cannot be read as a table ({first})") from error
        # Rows are lines unless a quoted field holds line ends.
        exact = table.height + self.skip == self.lines
        table = _without_blank_end(table)
        if table.height == 0:
            raise DataError(f"{self.path} has no rows but blank ones")
        # The parser pads a row that is too short with nulls, so its last field is one.
        if table[self.names[-1]].null_count():
            self._explain_ragged()
        place = Place(self.path, self.skip + 1 if exact else None)
        return table.select(name for name in read if name in wanted), place

    def _explain_ragged(self) -> None:
        """Find the first row with another number of fields; slow, so only on the way to an error."""
        width, blank, rows = len(self.names), 0, -self.skip
        with self.path.open(encoding="utf-8-sig", newline="") as stream:
            if self.quote is None:
                reader = csv.reader(stream, delimiter=self.separator, quoting=csv.QUOTE_NONE)
            else:
                reader = csv.reader(stream, delimiter=self.separator, quotechar=self.quote)
            try:
                for row in reader:
                    if not row:
                        blank = blank or reader.line_num
                        continue
                    rows += 1
                    if blank:
                        raise DataError(
                            f"{self.path}, line {blank} is blank", allowed=f"{width} fields in every row"
                        )
                    if len(row) != width:
                        raise DataError(
                            f"{self.path}, line {reader.line_num} has {len(row)} fields",
                            allowed=f"{width} fields in every row",
                        )
            except csv.Error as error:
                raise DataError(f"{self.path}, line {reader.line_num}: {error}") from error
        if blank and rows <= 0:
            raise DataError(f"{self.path} has no rows but blank ones")


def open_text_table(
    path: Path,
    *,
    separator: str | None = None,
    header: tuple[str, ...] | None = None,
    quote: str | None = '"',
) -> TextTable:
    """Check a text table's bytes and find its header.

    Args:
        path: The file.
        separator: One character, or None to take the one that the first line has most of.
        header: Column names for a file without a header line.
        quote: Character around fields that hold separators, or None where there is none.

    Raises:
        DataError: It is not UTF-8 text, has no header, or has a column name twice.
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
    return TextTable(path, tuple(names), separator, quote, 0 if header is not None else 1, lines)


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
