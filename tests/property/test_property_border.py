"""Whatever arrays come in, the core answers or raises a named error; it never panics and never dies."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dtlns import PathCodes, TrainView, _core, build_tree, deepest_prefix, sample_negatives
from dtlns.errors import InputError
from dtlns.ranking import top_k
from dtlns.sampling import keyed_uniform

BOUNDS = {
    np.int64: (-(2**63), 2**63 - 1),
    np.int32: (-(2**31), 2**31 - 1),
    np.uint64: (0, 2**64 - 1),
    np.uint32: (0, 2**32 - 1),
    np.uint8: (0, 255),
}


@st.composite
def arrays(draw: st.DrawFn, dtype: Any, ndim: int = 1) -> np.ndarray:
    """Arrays of a kernel's own type with any values and layout; small values are likely."""
    shape = draw(npst.array_shapes(min_dims=ndim, max_dims=ndim, min_side=0, max_side=6))
    if dtype == np.float32:
        values = st.floats(width=32) | st.sampled_from([0.0, 1.0])
    else:
        values = st.integers(max(BOUNDS[dtype][0], -1), 5) | st.integers(*BOUNDS[dtype])
    array = draw(npst.arrays(dtype, shape, elements=values))
    layout = draw(st.sampled_from(["C", "F", "backward", "strided", "read-only", "sorted"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "backward":
        return array[::-1]
    if layout == "strided":
        return np.repeat(array, 2, axis=0)[::2]
    if layout == "sorted":
        return np.sort(array, axis=0)
    array.setflags(write=layout != "read-only")
    return array


I64, I32, U64, U32, U8, F32 = (
    arrays(t) for t in (np.int64, np.int32, np.uint64, np.uint32, np.uint8, np.float32)
)
SIZES = st.integers(0, 8) | st.integers(0, 2**31 - 1) | st.integers(0, 2**64 - 1)
SMALL = st.integers(0, 9)
COUNTS = SMALL | st.integers(2**40, 2**64 - 1)  # nothing between, which would fit and take time
SEEDS = st.integers(0, 2**64 - 1)
CODES = (U64, U8, SMALL | st.integers(0, 2**32 - 1))
KERNELS = {
    "jaccard": (I64, U32, SMALL | st.integers(2**31, 2**64 - 1)),
    "build_tree": (arrays(np.float32, 2), SMALL, SMALL, st.tuples(st.floats(), st.floats()), SEEDS),
    "encode": (I32, I32, arrays(np.float32, 2), SMALL, arrays(np.float32, 2)),
    "pack_paths": (I64, I64, SMALL | st.integers(0, 2**32 - 1)),
    "unpack_paths": CODES,
    "prefix_length": (*CODES, I64, I64),
    "similarity": (*CODES, arrays(np.int64, 2), I64),
    "deepest_prefix": (*CODES, I64, U32, SIZES, I64, st.none() | arrays(np.int64, 2)),
    "keyed_uniform": (I64, COUNTS, SEEDS, SEEDS, st.integers(0, 2**32 - 1)),
    "top_k": (
        arrays(np.float32, 2),
        COUNTS,
        st.none() | I64,
        st.none() | U32,
        st.none() | SIZES,
        st.none() | I64,
    ),
}


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=150)
@given(data=st.data())
def test_any_input_is_answered_or_refused(kernel, data):
    arguments = [data.draw(strategy) for strategy in KERNELS[kernel]]
    with suppress(InputError):
        getattr(_core, kernel)(*arguments)


@settings(max_examples=150)
@given(data=st.data())
def test_any_forbidden_sets_are_answered_or_refused(data):
    draw = data.draw
    with suppress(InputError):
        sets = _core.ForbiddenSets(
            draw(I64), draw(U32), draw(SIZES), draw(st.none() | I64), draw(st.none() | U32)
        )
        assert (sets.available() >= 0).all()
        sets.draw(draw(I64), draw(I64), draw(COUNTS), draw(SEEDS), draw(SEEDS))
        sets.forbidden(draw(SIZES))


@pytest.mark.parametrize(
    "call",
    [
        lambda: top_k(np.zeros((2**12, 3), dtype=np.float32), 2**31 - 1),
        lambda: keyed_uniform(np.arange(10**6), 2**31 - 1, seed=0, epoch=0, purpose=0),
        lambda: PathCodes.from_paths([(0,)]).similarity(
            np.broadcast_to(0, (10**7, 1)), np.broadcast_to(0, (1, 10**7))
        ),
    ],
    ids=["top_k", "keyed_uniform", "similarity"],
)
def test_what_does_not_fit_into_memory_is_an_error(call):
    # A failed allocation would end the process.
    with pytest.raises(InputError, match="values do not fit into memory"):
        call()


def test_unaligned_arrays_are_copied():
    # The fields of a packed structure lie 13 bytes apart, which is no whole number of elements.
    table = np.zeros(5, dtype=[("user", "i8"), ("score", "f4"), ("flag", "u1")])
    table["user"], table["score"] = np.arange(5), [0.5, 2.0, 1.0, 4.0, 3.0]
    ids = table["user"]
    assert not ids.flags.aligned
    codes = PathCodes.from_paths([(0, 1), (0, 2), (1, 0), (1, 1), (3,)])
    assert codes.prefix_length(ids, ids).tolist() == [2, 2, 2, 2, 1]
    train = TrainView(np.arange(6), np.arange(5, dtype=np.uint32), 5)
    drawn = sample_negatives(train, ids, 4, rows=ids, seed=0, epoch=0)
    assert (drawn == sample_negatives(train, np.arange(5), 4, rows=np.arange(5), seed=0, epoch=0)).all()
    assert (deepest_prefix(codes, train, ids) == deepest_prefix(codes, train, np.arange(5))).all()
    scores = np.lib.stride_tricks.as_strided(table["score"], (1, 5), (0, 13))
    assert top_k(scores, 5)[0].tolist() == [[3, 4, 1, 2, 0]]
    rows = np.lib.stride_tricks.as_strided(table["score"], (5, 1), (13, 0))
    assert build_tree(rows, 2, 1).codes.equals(build_tree(table["score"].copy()[:, None], 2, 1).codes)
    with pytest.raises(InputError, match="unaligned"):
        _core.keyed_uniform(ids, 1, 0, 0, 0)


def test_ragged_ids_are_refused():
    with pytest.raises(InputError, match="a are no array"):
        PathCodes.from_paths([(0,)]).similarity([[0], [0, 0]], 0)
