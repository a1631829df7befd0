"""Import: from a source in any known format to a data set folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from dtlns.artifacts import check_free, file_digest
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.prepare import prepare
from dtlns.data.readers import RawLog, ReadOptions, read_log, read_table
from dtlns.data.store import write_dataset
from dtlns.errors import DataError, InputError


@dataclass(frozen=True)
class ImportOptions:
    """What happens between a source and a data set.

    Attributes:
        format: Reader's name, or `auto`.
        read: Column names and units.
        min_rating: Ratings from here on are interactions; None takes every row.
        core_users: Least interactions of a user (iterative k-core).
        core_items: Least interactions of an item.
        items: Table with item names, or None.
        users: Table with facts about users, or None.
        catalogue: Whether every item of that table belongs to the training catalogue.
        ignore_split: Treat a source that has a split as one log.
        name: Name of the data set; the source's name if left out.
    """

    format: str = "auto"
    read: ReadOptions = field(default_factory=ReadOptions)
    min_rating: float | None = None
    core_users: int = 1
    core_items: int = 1
    items: Path | None = None
    users: Path | None = None
    catalogue: bool = False
    ignore_split: bool = False
    name: str | None = None


def import_dataset(
    source: Path | str, output: Path | str, options: ImportOptions | None = None, *, force: bool = False
) -> Dataset:
    """Read a source and write a data set folder.

    Args:
        source: File or folder.
        output: Where the data set shall be.
        options: How to read and filter.
        force: Replace a data set that is there.

    Returns:
        The data set, opened; its `notes` say what was dropped or merged.

    Raises:
        DataError: The source cannot be read or nothing usable is left.
        ArtifactError: `output` exists and `force` is false.

    Example:
        >>> import_dataset("ratings.csv", "dataset", ImportOptions(min_rating=4))  # doctest: +SKIP
    """
    options = options or ImportOptions()
    source, output = Path(source), Path(output)
    check_free(output, force=force)
    if options.catalogue and options.items is None:
        raise InputError("an explicit catalogue needs an item table", hint="give one with --items")
    log = read_log(source, options.format, options.read)
    prepared = prepare(
        log,
        min_rating=options.min_rating,
        core_users=options.core_users,
        core_items=options.core_items,
        ignore_split=options.ignore_split,
    )
    notes = list(prepared.notes)
    named = options.read.columns
    items, item_file = _entities(log, "item", options.items, named.get("item"), notes)
    users, user_file = _entities(log, "user", options.users, named.get("user"), notes)
    inputs = {f"log {file.name}": file_digest(file) for file in log.files}
    inputs |= {"items": file_digest(item_file)} if item_file else {}
    inputs |= {"users": file_digest(user_file)} if user_file else {}
    config: dict[str, Any] = {
        "source": source.name,
        "format": log.format,
        "columns": dict(options.read.columns),
        "id_type": options.read.id_type,
        "min_rating": options.min_rating,
        "k_core": [options.core_users, options.core_items],
        "catalogue": "item table" if options.catalogue else "training rows",
        "ignore_split": options.ignore_split,
        "split": {"by": "source"} if prepared.has_split else None,
    }
    write_dataset(
        output,
        prepared.frame,
        name=options.name or _stem(source),
        config=config,
        inputs=inputs,
        users=users,
        items=items,
        catalogue=items["id"] if options.catalogue and items is not None else None,
        notes=tuple(notes),
        force=force,
    )
    return load_dataset(output)


def _entities(
    log: RawLog, role: str, path: Path | None, own: str | None, notes: list[str]
) -> tuple[pl.DataFrame | None, Path | None]:
    """Read the table for one role, from the caller or from beside the source, and match its id type."""
    if path is None:
        path = _beside(log, role)
        if path is None:
            return None, None
    table = read_table(path, role, own=own)
    ids = log.frame[role]
    if table["id"].dtype != ids.dtype:
        if ids.dtype == pl.String:
            table = table.with_columns(pl.col("id").cast(pl.String))
        else:
            table = table.with_columns(pl.col("id").cast(pl.Int64, strict=False)).filter(
                pl.col("id").is_not_null()
            )
    distinct = ids.alias("id").unique().to_frame()
    known = distinct.join(table.select("id"), on="id", how="semi").height
    if not known:
        raise DataError(
            f"{path}: none of its {table.height} ids is one of the log's {role}s",
            hint="check the id column and --id-type",
        )
    if known < distinct.height:
        notes.append(f"{path.name}: {distinct.height - known:,} of {distinct.height:,} {role}s are not in it")
    return table, path


def _beside(log: RawLog, role: str) -> Path | None:
    """RecBole keeps the tables beside the interactions under the same name."""
    if log.format != "recbole":
        return None
    first = log.files[0]
    stem = first.name.removesuffix(".inter")
    for split in ("train", "valid", "test"):
        stem = stem.removesuffix(f".{split}") if log.has_split else stem
    path = first.with_name(f"{stem}.{role}")
    return path if path.is_file() else None


def _stem(source: Path) -> str:
    return source.resolve().name if source.is_dir() else source.stem
