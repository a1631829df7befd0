"""From a source's ids to indexes, in an order that does not depend on the order of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.data.views import MAX_ID
from dtlns.errors import DataError


@dataclass(frozen=True, eq=False)
class IdIndex:
    """Ids in index order: the warm ones first, then the cold ones, both in canonical order.

    Attributes:
        ids: Int64 or String; the position of an id is its index.
        n_warm: How many of them belong to training.
    """

    ids: pl.Series
    n_warm: int

    def index_of(self, column: pl.Series) -> NDArray[np.uint32]:
        """Return the indexes of known ids, uint32 of the column's length.

        Args:
            column: Ids, all of them in the index.
        """
        table = pl.DataFrame({"id": self.ids, "index": np.arange(len(self.ids), dtype=np.uint32)})
        joined = column.alias("id").to_frame().join(table, on="id", how="left", maintain_order="left")
        return joined["index"].to_numpy()


def index_ids(train: pl.Series, held_out: pl.Series, listed: pl.Series | None = None) -> IdIndex:
    """Order ids: those of training first, ids that only held-out rows have after them.

    Numbers are in numeric order, strings by code point, so that shuffled rows give the same indexes, and
    permuted held-out rows never move a training index.

    Args:
        train: Ids of the training rows, with repetitions.
        held_out: Ids of the held-out rows, with repetitions.
        listed: An explicit catalogue that joins the training ids, or None.

    Returns:
        The index.

    Raises:
        DataError: There are more ids than an index can hold.
    """
    warm = (
        train.unique()
        if listed is None
        else pl.concat([train.alias("id").unique(), listed.alias("id")]).unique()
    )
    known = warm.alias("id").to_frame()
    cold = held_out.unique().alias("id").to_frame().join(known, on="id", how="anti")["id"]
    ids = pl.concat([warm.alias("id").sort(), cold.sort()])
    if len(ids) > MAX_ID:
        raise DataError(f"the log has {len(ids)} different ids", allowed=f"at most {MAX_ID}")
    return IdIndex(ids, len(warm))
