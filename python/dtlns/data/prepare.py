"""From a raw log to distinct interactions: threshold, merged duplicates, k-core, and one split per pair."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dtlns.data.kcore import k_core
from dtlns.data.readers.base import SPLITS, RawLog
from dtlns.errors import DataError

_ORDER = {split: rank for rank, split in enumerate(SPLITS)}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Distinct interactions with the source's ids.

    Attributes:
        frame: `user`, `item`, `split` (`train` for all where there is no split), and where known `timestamp`
            and `weight`.
        has_split: Whether `split` says more than `train`.
        notes: What was dropped or merged.
    """

    frame: pl.DataFrame
    has_split: bool
    notes: tuple[str, ...]


def prepare(
    log: RawLog,
    *,
    min_rating: float | None = None,
    core_users: int = 1,
    core_items: int = 1,
    ignore_split: bool = False,
) -> Prepared:
    """Turn a raw log into implicit interactions.

    A row whose rating is below the threshold is dropped first. Then rows of the same user and item become
    one: the earliest time, and the sum of the weights where the source has weights. A pair that occurs in
    two parts of a split stays in the earlier one (train before valid before test): what is known at
    training time cannot be asked about later, and training must not depend on held-out rows.

    Args:
        log: What a reader returned.
        min_rating: Ratings from here on are interactions; None takes every row.
        core_users: Least interactions of a user (iterative, together with `core_items`).
        core_items: Least interactions of an item.
        ignore_split: Treat a source that has a split as one log.

    Returns:
        The interactions.

    Raises:
        DataError: There is no rating column for the threshold, a k-core is asked of a source with a split,
            or nothing is left.
    """
    frame, notes = log.frame, list(log.notes)
    has_split = log.has_split and not ignore_split
    if log.has_split and ignore_split:
        frame = frame.drop("split")
        notes.append("the split of the source is ignored: all rows are one log")
    rows = frame.height
    if min_rating is not None:
        if "rating" not in frame.columns:
            raise DataError(
                f"{log.files[0].name} has no rating column, so --min-rating {min_rating:g} cannot be applied",
                hint="name it with --rating",
            )
        frame = frame.filter(pl.col("rating") >= min_rating)
        if not frame.height:
            raise DataError(f"none of the {rows} rows has a rating of {min_rating:g} or more")
        notes.append(f"ratings of {min_rating:g} or more: {frame.height:,} of {rows:,} rows")
    elif "rating" in frame.columns:
        notes.append("ratings are not used: every row is an interaction (choose with --min-rating)")
    if not has_split:
        frame = frame.with_columns(split=pl.lit("train"))
    frame, merged = _merge(frame, notes)
    if merged and has_split and "train" not in frame["split"].unique():
        raise DataError("no training row is left")
    if max(core_users, core_items) > 1:
        if has_split:
            raise DataError(
                "a k-core cannot be cut from a source that has a split: it would change what is held out",
                hint="import it without --k-core, or as one log with --ignore-split",
            )
        before = frame.height
        frame, rounds = k_core(frame, core_users, core_items)
        notes.append(
            f"k-core ({core_users} per user, {core_items} per item): {frame.height:,} of {before:,} "
            f"interactions after {rounds} rounds"
        )
    return Prepared(frame, has_split, tuple(notes))


def _merge(frame: pl.DataFrame, notes: list[str]) -> tuple[pl.DataFrame, int]:
    """Make each (user, item) pair one row; add to the notes what that removed."""
    columns = [name for name in ("timestamp", "weight") if name in frame.columns]
    frame = frame.select("user", "item", "split", *columns)
    distinct = frame.select("user", "item").unique().height
    extra = frame.height - distinct
    if not extra:
        return frame, 0
    how = {"timestamp": pl.col("timestamp").min(), "weight": pl.col("weight").sum()}
    # Weights are summed in order of time and value, so that the sum does not depend on the order of rows.
    frame = frame.sort("user", "item", "split", *columns, maintain_order=True)
    within = frame.group_by("user", "item", "split", maintain_order=True).agg([how[name] for name in columns])
    if repeated := frame.height - within.height:
        weights = (
            "weights summed" if "weight" in columns else "earliest time kept" if columns else "kept once"
        )
        notes.append(f"{repeated:,} repeated rows merged ({weights})")
    rank = pl.col("split").replace_strict(_ORDER, return_dtype=pl.Int8)
    frame = within.sort(rank, maintain_order=True).unique(["user", "item"], keep="first", maintain_order=True)
    if leaked := within.height - frame.height:
        notes.append(f"{leaked:,} held-out pairs removed because an earlier part of the split has them too")
    return frame, extra
