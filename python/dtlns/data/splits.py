"""Splits: which interactions train, which select, which report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import check_free
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.keyed import row_keys
from dtlns.data.planted_truth import TRUTH, copy_truth
from dtlns.data.store import write_dataset
from dtlns.errors import DataError, InputError

SplitRule = Literal["random", "time", "last-out"]
LEAK_NOTE = (
    "leave-last-out leaks time: a user's training rows may be later than other users' test rows, so models "
    "learn from the future; a split by time has an honest clock"
)


def split_dataset(
    dataset: Dataset | Path | str,
    output: Path | str,
    *,
    by: SplitRule = "random",
    valid: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    keep_test: bool = False,
    resplit: bool = False,
    force: bool = False,
) -> Dataset:
    """Write a data set with a split from one without, or cut validation out of the training rows.

    Args:
        dataset: Data set or its folder.
        output: Where the new data set shall be.
        by: `random` (per user, by ratio), `time` (global cut points) or `last-out` (each user's last rows).
        valid: Share of the rows for validation; with `keep_test`, share of the training rows. Not used by
            `last-out`, which takes one row per user.
        test: Share of the rows for test; not used with `keep_test` or by `last-out`.
        seed: Of the random split, and of ties in time.
        keep_test: Leave the test rows as they are and cut validation out of the training rows.
        resplit: Merge the parts of a data set that has a split, and split anew.
        force: Replace a data set that is there.

    Returns:
        The new data set, opened.

    Raises:
        InputError: A share or the combination of options is impossible.
        DataError: The data set has a split already, has no times, or a part would be empty.

    Example:
        >>> split_dataset("movielens", "split", by="random", seed=1)  # doctest: +SKIP
    """
    if by not in ("random", "time", "last-out"):
        raise InputError(f"the split {by!r} is unknown", allowed="random, time, last-out")
    check_shares(valid, 0.0 if keep_test else test)
    output = Path(output)
    check_free(output, force=force)
    source = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    if output.resolve() == source.path.resolve():
        raise InputError(f"{output} is the data set that would be split", hint="choose another output folder")
    frame = source.frame()
    test_rows = None
    if keep_test:
        if source.test is None or source.valid is not None:
            there = ", ".join(name for name in ("train", "valid", "test") if name in source.facts["tables"])
            raise DataError(
                f"{source.path} has {there}",
                allowed="train and test for --keep-test",
                hint="or use --resplit",
            )
        test_rows = frame.filter(pl.col("split") == "test")
        frame = frame.filter(pl.col("split") == "train")
    elif source.split is not None and not resplit:
        raise DataError(
            f"{source.path} has a split already ({source.split['by']})",
            hint="--resplit merges its parts and splits anew; --keep-test cuts validation out of train",
        )
    part = assign(frame, by, valid=valid, test=0.0 if keep_test else test, seed=seed, with_test=not keep_test)
    frame = frame.with_columns(split=part)
    if test_rows is not None:
        frame = pl.concat([frame, test_rows], how="diagonal_relaxed").select(frame.columns)
    shares = {} if by == "last-out" else {"valid": valid, "test": None if keep_test else test}
    how = {"by": by, "seed": seed, "keep_test": keep_test, **shares}
    notes = list(source.notes)
    if by == "last-out":
        notes.append(LEAK_NOTE)
    config = {key: value for key, value in source.artifact.config.items() if key not in ("split", "name")}
    listed = config.get("catalogue") not in (None, "training rows")
    has_truth = (source.path / TRUTH).is_file()
    write_dataset(
        output,
        frame,
        name=source.name,
        config={**config, "split": how},
        inputs={"dataset": source.digest},
        users=source.users,
        items=source.items,
        catalogue=source.items["id"].head(source.n_train_items) if listed else None,
        notes=tuple(notes),
        extra=(lambda folder: copy_truth(source.path, folder)) if has_truth else None,
        force=force,
    )
    return load_dataset(output)


def assign(
    frame: pl.DataFrame, by: SplitRule, *, valid: float, test: float, seed: int, with_test: bool = True
) -> pl.Series:
    """Name the part of each interaction.

    Args:
        frame: `user`, `item` ids, each pair once, and `timestamp` for the rules that need it.
        by: The rule.
        valid: Share for validation.
        test: Share for test.
        seed: Of random draws and of ties.
        with_test: Whether `last-out` takes a test row too.

    Returns:
        `train`, `valid` or `test` for each row.

    Raises:
        DataError: There are no times, or too few different ones.
    """
    keys = row_keys(seed, frame["user"], frame["item"])
    if by == "time":
        return _by_time(_times(frame, by), valid, test)
    user = frame["user"].rank("dense").to_numpy().astype(np.int64) - 1
    if by == "random":
        rank, counts = _rank_within(user, keys)
        n_test, n_valid = _sizes(counts, valid, test)
    else:
        rank, counts = _rank_within(user, keys, _times(frame, by))
        n_test = np.minimum(counts - 1, 1 if with_test else 0)
        n_valid = np.minimum(counts - 1 - n_test, 1)
    from_test, from_valid = n_test[user], (n_test + n_valid)[user]
    return _named(np.where(rank < from_test, 2, np.where(rank < from_valid, 1, 0)))


def check_shares(valid: float, test: float) -> None:
    """Raise unless the shares leave something to train on.

    Args:
        valid: Share for validation.
        test: Share for test.

    Raises:
        InputError: A share is not in [0, 1), both are 0, or they leave nothing.
    """
    for name, share in (("validation", valid), ("test", test)):
        if not 0 <= share < 1:
            raise InputError(f"the {name} share is {share}", allowed="0 to below 1")
    if valid + test >= 1:
        raise InputError(
            f"validation {valid} and test {test} leave nothing to train on", allowed="a sum below 1"
        )
    if valid + test == 0:
        raise InputError("both shares are 0, so nothing is split", allowed="a share above 0")


def _sizes(
    counts: NDArray[np.int64], valid: float, test: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Round each user's shares half up, test first; a training row always remains."""
    n_test = np.minimum(np.floor(counts * test + 0.5 + 1e-9).astype(np.int64), counts - 1)
    n_valid = np.minimum(np.floor(counts * valid + 0.5 + 1e-9).astype(np.int64), counts - 1 - n_test)
    return n_test, n_valid


def _rank_within(
    user: NDArray[np.int64], keys: NDArray[np.uint64], times: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rank each user's rows, latest first where there are times, by key among equals; and count them."""
    latest = () if times is None else (-times,)
    order = np.lexsort((keys, *latest, user))
    counts = np.bincount(user)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(user), dtype=np.int64)
    rank[order] = np.arange(len(user)) - starts
    return rank, counts.astype(np.int64)


def _by_time(times: NDArray[np.int64], valid: float, test: float) -> pl.Series:
    """Cut at quantiles of time; rows of the same second stay together, on the later side."""
    ordered = np.sort(times)
    size = len(ordered)
    first_valid = ordered[min(int(np.floor(size * (1 - valid - test) + 1e-9)), size - 1)]
    first_test = ordered[min(int(np.floor(size * (1 - test) + 1e-9)), size - 1)]
    part = np.zeros(size, dtype=np.int64)
    part[times >= first_valid] = 1
    if test > 0:
        part[times >= first_test] = 2
    counts = np.bincount(part, minlength=3)
    for index, (name, share) in enumerate((("train", 1.0), ("valid", valid), ("test", test))):
        if share > 0 and not counts[index]:
            raise DataError(
                f"a split by time leaves no {name} rows: too many of the {size:,} rows share a time",
                hint="choose other shares, or split at random",
            )
    return _named(part)


def _times(frame: pl.DataFrame, by: str) -> NDArray[np.int64]:
    if "timestamp" not in frame.columns or frame["timestamp"].null_count():
        raise DataError(
            f"the data set has no times, which a split by = {by!r} needs",
            allowed="by = 'random'",
            hint="or import the log with its column of times: `dtlns data import --timestamp COLUMN`",
        )
    times: NDArray[np.int64] = frame["timestamp"].to_numpy()
    return times


def _named(part: NDArray[np.int64]) -> pl.Series:
    names = pl.Series(["train", "valid", "test"])
    return names.gather(part).alias("split")
