"""LightGCN's adjacency lists: one user a line, `user item item …`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from dtlns.data.readers.base import RawLog, ReadOptions
from dtlns.data.readers.integers import integer_lines
from dtlns.errors import DataError


def read_lightgcn(path: Path, options: ReadOptions) -> RawLog:
    """Read one adjacency list, or a folder with `train.txt`, `test.txt` and perhaps `valid.txt`.

    Args:
        path: A file (no split) or a folder (its split is kept).
        options: Only `id_type` is used.

    Returns:
        The log; ids are as in the files, not offset.

    Raises:
        DataError: A file is missing or a field is not an id.
    """
    if not path.is_dir():
        frame, empty = _adjacency(path)
        files = [path]
    else:
        parts, files, empty = [], [], 0
        for split in ("train", "valid", "test"):
            file = path / f"{split}.txt"
            if file.exists():
                part, without = _adjacency(file)
                parts.append(part.with_columns(split=pl.lit(split)))
                files.append(file)
                empty += without
        if not (path / "train.txt").exists():
            raise DataError(f"{path} has no train.txt", allowed="train.txt, test.txt and perhaps valid.txt")
        frame = pl.concat(parts)
    if options.id_type == "string":
        frame = frame.with_columns(pl.col("user", "item").cast(pl.String))
    notes = (f"{empty} lines name a user and no item",) if empty else ()
    return RawLog(frame, "lightgcn", tuple(files), notes=notes)


def _adjacency(path: Path) -> tuple[pl.DataFrame, int]:
    values, starts, _ = integer_lines(path)
    lengths = np.diff(starts)
    if not len(values) or lengths.max() < 2:
        raise DataError(f"{path} has no interactions", allowed="lines of the form `user item item …`")
    is_item = np.ones(len(values), dtype=np.bool_)
    is_item[starts[:-1]] = False
    users = np.repeat(values[starts[:-1]], lengths - 1)
    return pl.DataFrame({"user": users, "item": values[is_item]}), int((lengths == 1).sum())
