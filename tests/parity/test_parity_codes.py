"""Path codes and deepest prefixes against their twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import twins
from hypothesis import given
from hypothesis import strategies as st

from dtlns import PathCodes, deepest_prefix
from dtlns.testing import strategies as own

SPORTS = Path(__file__).parents[3] / "shared" / "data" / "amazon-sports"


@given(codes=own.path_codes())
def test_packing(codes):
    paths = codes.to_paths()
    assert [twins.pack(path, codes.branching) for path in paths] == codes.packed.tolist()
    assert [len(path) for path in paths] == codes.depth.tolist()
    assert PathCodes.from_paths(paths, codes.branching).equals(codes)


@given(codes=own.path_codes())
def test_prefix_length_and_similarity_of_all_pairs(codes):
    paths, ids = codes.to_paths(), np.arange(len(codes))
    lengths = [[twins.prefix_length(a, b) for b in paths] for a in paths]
    ratios = np.array([[twins.similarity(a, b) for b in paths] for a in paths], dtype=np.float32)
    assert codes.prefix_length(ids[:, None], ids).tolist() == lengths
    np.testing.assert_array_equal(codes.similarity(ids[:, None], ids), ratios)


@given(codes=own.path_codes())
def test_torch_agrees(codes):
    ids = np.arange(len(codes))
    tensors, a, b = codes.to_torch(), torch.arange(len(codes))[:, None], torch.arange(len(codes))
    assert (codes.prefix_length_torch(*tensors, a, b).numpy() == codes.prefix_length(ids[:, None], ids)).all()
    similar = codes.similarity_torch(*tensors, a, b)
    assert similar.dtype == torch.float32
    np.testing.assert_array_equal(similar.numpy(), codes.similarity(ids[:, None], ids))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.arange(40)[::3], np.arange(40)[:14][::-1]),
        (np.arange(40).reshape(5, 8).T, np.arange(8)[:, None]),
        (np.arange(6).reshape(2, 1, 3), np.arange(4)[:, None]),
        (np.zeros((0, 3), dtype=np.int64), np.arange(3)),
        (np.int64(3), np.arange(5, dtype=np.uint8)),
        (np.arange(200)[:, None] % 40, np.arange(200) % 40),
    ],
    ids=["strided", "transposed", "three-dimensional", "empty", "scalar", "large"],
)
def test_broadcasting_and_strides(a, b):
    random = np.random.default_rng(0)
    paths = [tuple(random.integers(0, 2, random.integers(0, 6))) for _ in range(40)]
    codes = PathCodes.from_paths(paths)
    wide_a, wide_b = np.broadcast_arrays(a, b)
    expected = [
        twins.prefix_length(paths[x], paths[y]) for x, y in zip(wide_a.flat, wide_b.flat, strict=True)
    ]
    got = codes.prefix_length(a, b)
    assert got.shape == wide_a.shape
    assert got.ravel().tolist() == expected
    assert codes.similarity(a, b).shape == wide_a.shape


@given(train=own.train_views(min_users=1, max_items=20), data=st.data())
def test_deepest_prefix(train, data):
    codes = data.draw(own.path_codes(min_items=train.n_items, max_items=train.n_items + 3))
    users = np.array(data.draw(st.lists(st.integers(0, train.n_users - 1), max_size=5)), dtype=np.int64)
    width = data.draw(st.integers(0, 6))
    flat = data.draw(
        st.lists(st.integers(0, len(codes) - 1), min_size=len(users) * width, max_size=len(users) * width)
    )
    items = np.array(flat, dtype=np.int64).reshape(len(users), width)
    paths = codes.to_paths()
    histories = [train.indices[train.indptr[u] : train.indptr[u + 1]] for u in users]
    expected = [twins.deepest_prefix(paths, h, row) for h, row in zip(histories, items, strict=True)]
    got = deepest_prefix(codes, train, users, items)
    assert got.shape == items.shape
    assert got.tolist() == expected
    # The same from an array that is not contiguous, and from the way that takes all items at once.
    assert deepest_prefix(codes, train, users, np.asfortranarray(items)).tolist() == expected
    everything = [twins.deepest_prefix(paths, h, range(len(codes))) for h in histories]
    got_all = deepest_prefix(codes, train, users)
    assert got_all.shape == (len(users), len(codes))
    assert got_all.tolist() == everything


@pytest.mark.parametrize("view", ["structural", "semantic"])
def test_published_codes(view):
    file = SPORTS / f"reference_{view}_paths.txt"
    if not file.exists():
        pytest.skip("../shared/data/amazon-sports is not there")
    lines = [line.split(": ") for line in file.read_text().splitlines()]
    by_item = {int(item): tuple(map(int, path.split("-"))) for item, path in lines}
    paths = [by_item[item] for item in sorted(by_item)]
    codes = PathCodes.from_paths(paths)
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(paths), (20_000, 2))
    expected = [twins.similarity(paths[a], paths[b]) for a, b in pairs]
    np.testing.assert_array_equal(codes.similarity(*pairs.T), np.float32(expected))
    assert codes.to_paths() == paths
