"""RecBole's atomic files: tab-separated with typed column names, `user_id:token item_id:token …`.

Format: RecBole documentation, "Atomic Files". A benchmark folder with `NAME.train.inter`, `NAME.valid.inter`
and `NAME.test.inter` keeps its split; `NAME.item` and `NAME.user` beside it become the tables of names.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from dtlns.data.readers.base import SPLITS, RawLog, ReadOptions
from dtlns.data.readers.columns import column_notes, resolve_columns, typed_frame
from dtlns.data.readers.text_table import open_text_table
from dtlns.errors import DataError


def read_recbole(path: Path, options: ReadOptions) -> RawLog:
    """Read an `.inter` file, or the folder that holds it.

    Args:
        path: `NAME.inter`, or a folder with it or with the three files of a split.
        options: Column names (without their `:type`), id type, time unit.

    Returns:
        The log.

    Raises:
        DataError: There is no `.inter` file, or it is not one.
    """
    files = _interaction_files(path)
    columns = {role: name.partition(":")[0] for role, name in options.columns.items()}
    options = replace(options, columns=columns)
    frames: list[pl.DataFrame] = []
    notes: list[str] = []
    for split, file in files.items():
        table = open_text_table(file, separator="\t", quote=None)
        untyped = [name for name in table.names if ":" not in name]
        if untyped:
            raise DataError(
                f"{file}, line 1: column {untyped[0]!r} has no type",
                allowed="names such as user_id:token",
                hint="a plain table is --format csv",
            )
        plain = {name.partition(":")[0]: name for name in table.names}
        roles = resolve_columns(file, list(plain), options.columns)
        rows, place = table.read(plain[name] for name in roles.values())
        frame = typed_frame(rows, {role: plain[name] for role, name in roles.items()}, options, place)
        notes += column_notes(file, list(plain), roles)
        frames.append(frame.with_columns(split=pl.lit(split)) if split else frame)
    if options.id_type == "auto" and len({(f.schema["user"], f.schema["item"]) for f in frames}) > 1:
        frames = [frame.with_columns(pl.col("user", "item").cast(pl.String)) for frame in frames]
    try:
        frame = pl.concat(frames)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: the files of the split have different columns", hint=str(error)) from error
    return RawLog(frame, "recbole", tuple(files.values()), notes=tuple(notes))


def _interaction_files(path: Path) -> dict[str, Path]:
    """Return the files by split, or the only file under the empty name."""
    if path.is_file():
        return {"": path}
    if not path.exists():
        raise DataError(f"{path} does not exist")
    found = sorted(path.glob("*.inter"))
    by_split = {split: [file for file in found if file.name.endswith(f".{split}.inter")] for split in SPLITS}
    plain = [file for file in found if not any(file in group for group in by_split.values())]
    if len(plain) == 1 and not any(by_split.values()):
        return {"": plain[0]}
    if (
        not plain
        and len(by_split["train"]) == 1
        and len(by_split["test"]) == 1
        and len(by_split["valid"]) <= 1
    ):
        return {split: group[0] for split, group in by_split.items() if group}
    names = ", ".join(file.name for file in found[:6]) or "none"
    raise DataError(
        f"{path} holds these .inter files: {names}",
        allowed="NAME.inter, or NAME.train.inter and NAME.test.inter (and NAME.valid.inter)",
        hint="name the file itself",
    )
