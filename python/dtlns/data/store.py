"""Writing a data set folder: Parquet tables in index order, a schema, a summary for eyes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dtlns.artifacts import write_artifact, write_json
from dtlns.data.ids import IdIndex, index_ids
from dtlns.data.readers.base import SPLITS
from dtlns.data.summary import summary_text
from dtlns.errors import DataError

KIND = "dataset"
FACTS = "dataset.json"


def write_dataset(
    path: Path,
    frame: pl.DataFrame,
    *,
    name: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
    users: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
    catalogue: pl.Series | None = None,
    notes: tuple[str, ...] = (),
    extra: Callable[[Path], None] | None = None,
    force: bool = False,
) -> None:
    """Index the ids and write the folder; the same interactions give the same bytes in any row order.

    Args:
        path: Where the folder shall be.
        frame: Distinct pairs: `user`, `item` (Int64 or String), `split`, perhaps `timestamp`, `weight`.
        name: Name of the data set for people.
        config: How it was made; its key `split` is None or says how the split was made.
        inputs: Digests of what it was made from.
        users: Table with `id` and other columns to keep, or None.
        items: Table with `id`, perhaps `name`, and other columns to keep, or None.
        catalogue: Item ids that belong to training even without a training row, or None.
        notes: What a person should know; they go to the summary.
        extra: Writes further files into the folder.
        force: Replace a data set that is there.

    Raises:
        DataError: There are no training rows, or the result could not be used by anything.
        ArtifactError: The folder exists and `force` is false.
    """
    parts = {split: frame.filter(pl.col("split") == split) for split in SPLITS}
    train = parts["train"]
    if not train.height:
        raise DataError("there are no training interactions", hint="check the split or the filters")
    held_out = pl.concat([parts["valid"], parts["test"]])
    user_index = index_ids(train["user"], held_out["user"])
    item_index = index_ids(train["item"], held_out["item"], catalogue)
    if item_index.n_warm < 2:
        raise DataError(
            f"the training interactions have one item only ({item_index.ids[0]!r})",
            allowed="two items or more",
            hint="there is nothing to rank",
        )
    tables = {"users": _table(users, user_index), "items": _table(items, item_index)}
    for split, part in parts.items():
        if split == "train" or part.height:
            tables[split] = _indexed(part, user_index, item_index)
    facts = {
        "name": name,
        "split": config.get("split"),
        "notes": list(notes),
        "train_users": user_index.n_warm,
        "train_items": item_index.n_warm,
        "tables": {
            table: {"rows": data.height, "columns": {key: str(kind) for key, kind in data.schema.items()}}
            for table, data in tables.items()
        },
    }
    with write_artifact(
        Path(path), KIND, config={"name": name, **config}, inputs=inputs, force=force
    ) as folder:
        for table, data in tables.items():
            # Fixed row groups and no statistics: bytes are a function of the rows alone.
            file = folder / f"{table}.parquet"
            data.write_parquet(file, compression="zstd", row_group_size=1 << 20, statistics=False)
        write_json(folder / FACTS, facts)
        (folder / "summary.md").write_text(summary_text(facts, tables), encoding="utf-8")
        if extra is not None:
            extra(folder)


def _indexed(part: pl.DataFrame, users: IdIndex, items: IdIndex) -> pl.DataFrame:
    """Replace ids by indexes and sort by user and item."""
    user, item = users.index_of(part["user"]), items.index_of(part["item"])
    order = np.argsort((user.astype(np.uint64) << np.uint64(32)) | item)
    columns: dict[str, Any] = {"user": user[order], "item": item[order]}
    for name in ("timestamp", "weight"):
        if name in part.columns:
            columns[name] = part[name].to_numpy()[order]
    return pl.DataFrame(columns)


def _table(table: pl.DataFrame | None, index: IdIndex) -> pl.DataFrame:
    ids = index.ids.to_frame()
    if table is None:
        return ids
    return ids.join(table, on="id", how="left", maintain_order="left")
