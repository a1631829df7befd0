"""The folder of the DTL-NS release: `train.txt`, `valid.txt`, `test.txt` with `user item` a line.

Users and items share one number space: item ids begin where user ids end (arXiv 2602.18249, its release).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from dtlns.data.readers.base import SPLITS, RawLog, ReadOptions
from dtlns.data.readers.integers import integer_lines
from dtlns.errors import DataError


def read_dtl_ns(path: Path, options: ReadOptions) -> RawLog:
    """Read the three files of a DTL-NS data folder; its split is kept.

    Args:
        path: The folder.
        options: Only `id_type` is used.

    Returns:
        The log. Item ids stay as they are in the files, so that other files of the release still fit.

    Raises:
        DataError: A file is missing, a line has not two fields, or item ids are not offset.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not a folder", allowed="a folder with train.txt, valid.txt and test.txt")
    parts, files = [], []
    for split in SPLITS:
        file = path / f"{split}.txt"
        if file.exists():
            parts.append(_pairs(file).with_columns(split=pl.lit(split)))
            files.append(file)
        elif split != "valid":
            raise DataError(f"{file} does not exist", allowed="train.txt, test.txt and perhaps valid.txt")
    frame = pl.concat(parts)
    last_user, first_item = int(frame["user"].to_numpy().max()), int(frame["item"].to_numpy().min())
    if first_item <= last_user:
        raise DataError(
            f"{path}: item id {first_item} is not above the last user id {last_user}",
            allowed="item ids offset by the number of users",
            hint="if ids are not offset, this may be --format lightgcn or csv",
        )
    if options.id_type == "string":
        frame = frame.with_columns(pl.col("user", "item").cast(pl.String))
    return RawLog(frame, "dtl-ns", tuple(files))


def _pairs(path: Path) -> pl.DataFrame:
    values, starts, numbers = integer_lines(path, max_line=1 << 20)
    lengths = np.diff(starts)
    wrong = np.flatnonzero(lengths != 2)
    if wrong.size:
        line, width = int(numbers[wrong[0]]), int(lengths[wrong[0]])
        raise DataError(f"{path}, line {line} has {width} fields", allowed="two: user and item")
    if not len(values):
        raise DataError(f"{path} has no interactions", allowed="lines of the form `user item`")
    pairs = values.reshape(-1, 2)
    return pl.DataFrame({"user": pairs[:, 0].copy(), "item": pairs[:, 1].copy()})
