"""A table that a command writes part by part: to a file that is whole or not there, or to stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click
import polars as pl

from dtlns.whole_file import whole_file

FORMATS = ("csv", "tsv", "jsonl", "parquet")


def table_format(out: Path | None, given: str | None) -> str:
    """Choose the format: the one given, or by the file's suffix; CSV on stdout.

    Raises:
        UsageError: The suffix does not tell, or Parquet would go to stdout.
    """
    if out is None and given == "parquet":
        raise click.UsageError("Parquet is no text: name a file with -o")
    if given is not None or out is None:
        return given or "csv"
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise click.UsageError(f"-o {out}: the suffix tells no format ({known}); give one with --format")
    return suffix


@contextmanager
def table_output(out: Path | None, form: str) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Open a table for writing.

    Args:
        out: The file, or None for stdout.
        form: One of `FORMATS`. Parquet is collected in memory and written at the end.

    Yields:
        A function that writes the next rows.
    """
    if out is None:
        yield _text_writer(sys.stdout, form)
        return
    with whole_file(out) as partial:
        if form == "parquet":
            parts: list[pl.DataFrame] = []
            yield parts.append
            # Fixed row groups and no statistics: bytes are a function of the rows alone.
            pl.concat(parts).write_parquet(partial, row_group_size=1 << 20, statistics=False)
        else:
            with partial.open("w", encoding="utf-8", newline="") as stream:
                yield _text_writer(stream, form)


def _text_writer(stream: TextIO, form: str) -> Callable[[pl.DataFrame], None]:
    header = True

    def write(rows: pl.DataFrame) -> None:
        nonlocal header
        if form == "jsonl":
            stream.write(rows.write_ndjson())
        else:
            stream.write(rows.write_csv(include_header=header, separator="\t" if form == "tsv" else ","))
        header = False

    return write
