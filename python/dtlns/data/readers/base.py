"""What every reader returns, and what it may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import polars as pl

ROLES = ("user", "item", "rating", "timestamp", "weight")
SPLITS = ("train", "valid", "test")

IdType = Literal["auto", "integer", "string"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso"]


@dataclass(frozen=True)
class ReadOptions:
    """How to read a source where its own form does not say.

    Attributes:
        columns: Column names by role (`user`, `item`, `rating`, `timestamp`, `weight`); roles left out are
            recognised by their usual names.
        separator: One character between the fields of a text table, or None to recognise it.
        header: Column names of a text table that has no header line, in order, or None when it has one.
        id_type: Whether ids are integers or strings; `auto` takes integers where every id is one.
        time_unit: Unit of the timestamps; `auto` tells by their size.
    """

    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    separator: str | None = None
    header: tuple[str, ...] | None = None
    id_type: IdType = "auto"
    time_unit: TimeUnit = "auto"


@dataclass(frozen=True)
class Place:
    """Names rows of a file for people.

    Attributes:
        path: The file.
        first_line: Line of the first row, or None where rows and lines do not correspond.
    """

    path: Path
    first_line: int | None = None

    def row(self, index: int) -> str:
        """Return a place such as `ratings.csv, line 7`.

        Args:
            index: Row number, from 0.
        """
        if self.first_line is None:
            return f"{self.path}, row {index + 1}"
        return f"{self.path}, line {self.first_line + index}"


@dataclass(frozen=True, eq=False)
class RawLog:
    """An interaction log as a source has it: checked values, its own ids, nothing merged or filtered.

    Attributes:
        frame: `user`, `item` (both Int64 or String), and where the source has them `rating` (Float64),
            `timestamp` (Int64, seconds since the epoch), `weight` (Float32, positive), `split` (String:
            `train`, `valid` or `test`).
        format: Name of the reader.
        files: The files that were read.
        users: Table of users with a column `id`, or None.
        items: Table of items with a column `id` and perhaps `name`, or None.
        notes: What a person should know about how it was read.
    """

    frame: pl.DataFrame
    format: str
    files: tuple[Path, ...]
    users: pl.DataFrame | None = None
    items: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_split(self) -> bool:
        """Whether the source came with a split of its own."""
        return "split" in self.frame.columns
