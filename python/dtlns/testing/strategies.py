"""Hypothesis strategies for training views, path codes and vectors; needs `hypothesis`."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from dtlns.codes import PathCodes
from dtlns.data.views import TrainView


@st.composite
def train_views(
    draw: st.DrawFn, max_users: int = 12, max_items: int = 12, min_users: int = 0, min_items: int = 1
) -> TrainView:
    """Draw training views, with users and items without interactions among them.

    Args:
        draw: Given by Hypothesis.
        max_users: Most users.
        max_items: Most items.
        min_users: Fewest users.
        min_items: Fewest items.
    """
    shape = draw(st.integers(min_users, max_users)), draw(st.integers(min_items, max_items))
    return TrainView.from_csr(sp.csr_array(draw(npst.arrays(np.bool_, shape)).astype(np.int8)))


def paths(branching: int = 4, max_depth: int = 6) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw one path, the empty one among them.

    Args:
        branching: Child indexes are below it.
        max_depth: Most levels.
    """
    return st.lists(st.integers(0, branching - 1), max_size=max_depth).map(tuple)


@st.composite
def path_codes(draw: st.DrawFn, min_items: int = 1, max_items: int = 20) -> PathCodes:
    """Draw path codes of any branching, up to codes that fill all 64 bits.

    Args:
        draw: Given by Hypothesis.
        min_items: Fewest items.
        max_items: Most items.
    """
    branching = draw(st.sampled_from([2, 3, 4, 5, 8, 16, 17, 65_536]))
    most = 64 // (branching - 1).bit_length()
    # Few different child indexes make common prefixes likely.
    index = st.integers(0, 1) | st.integers(0, branching - 1)
    path = st.lists(index, max_size=draw(st.sampled_from([min(most, 4), most])))
    listed = draw(st.lists(path, min_size=min_items, max_size=max_items))
    return PathCodes.from_paths(listed, branching)


def vectors(
    max_rows: int = 60, max_columns: int = 10, min_rows: int = 0, min_columns: int = 0
) -> st.SearchStrategy[NDArray[np.float32]]:
    """Draw float32 vectors; duplicates and zeros are common.

    Args:
        max_rows: Most vectors.
        max_columns: Longest vectors.
        min_rows: Fewest vectors.
        min_columns: Shortest vectors.
    """
    shapes = st.tuples(st.integers(min_rows, max_rows), st.integers(min_columns, max_columns))
    values = st.sampled_from([0.0, 1.0, -1.0, 0.5]) | st.floats(-100, 100, width=32)
    return shapes.flatmap(lambda shape: npst.arrays(np.float32, shape, elements=values))
