"""Index trees over item vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtlns import _core
from dtlns._border import float_rows, integer, seed_value
from dtlns.codes import PathCodes
from dtlns.errors import InputError
from dtlns.prefixes import deepest_prefix
from dtlns.tree_text import draw

__all__ = ["IndexTree", "PathCodes", "build_tree", "deepest_prefix"]

_ARRAYS = {
    "parent": np.int32,
    "first_child": np.int32,
    "n_children": np.int32,
    "node_depth": np.uint8,
    "size": np.int32,
    "centroids": np.float32,
    "packed": np.uint64,
    "depth": np.uint8,
}


@dataclass(frozen=True, eq=False)
class IndexTree:
    """A balanced tree over item vectors: nodes breadth first, the root first, and the items' codes.

    Attributes:
        parent: int32 [nodes], -1 for the root.
        first_child: int32 [nodes], -1 for a leaf; the children of a node lie side by side.
        n_children: int32 [nodes], 0 for a leaf.
        node_depth: uint8 [nodes], distance to the root.
        size: int32 [nodes], items below each node.
        centroids: float32 [nodes, D], means of the items below each node.
        codes: The items' path codes.
    """

    parent: NDArray[np.int32]
    first_child: NDArray[np.int32]
    n_children: NDArray[np.int32]
    node_depth: NDArray[np.uint8]
    size: NDArray[np.int32]
    centroids: NDArray[np.float32]
    codes: PathCodes

    @property
    def n_nodes(self) -> int:
        """Number of nodes, the root and leaves included."""
        return len(self.parent)

    @cached_property
    def leaves(self) -> NDArray[np.int64]:
        """int64, the nodes without children."""
        return np.flatnonzero(self.n_children == 0)

    def encode(self, vectors: ArrayLike) -> PathCodes:
        """Give new vectors the codes of the leaves that they fall into.

        Each step goes to the child with the nearest centroid, the lower one among equals. Balancing moved
        some of the tree's own items away from their nearest centroid; for those the answer may differ from
        `codes`.

        Args:
            vectors: Real [N, D].

        Returns:
            N path codes.

        Raises:
            InputError: Vectors have another dimension than the tree, or are not finite.

        Example:
            >>> tree = build_tree(np.arange(8.0).reshape(8, 1), branching=2, max_leaf_size=2)
            >>> bool(tree.encode([[0.1]]).packed[0] == tree.codes.packed[0])
            True
        """
        rows = float_rows("vectors", vectors)
        branching = self.codes.branching
        packed, depth = _core.encode(self.first_child, self.n_children, self.centroids, branching, rows)
        return PathCodes(packed, depth, branching)

    def stats(self) -> dict[str, Any]:
        """Return figures about depth, leaves and balance, ready for JSON.

        Example:
            >>> build_tree(np.zeros((8, 1)), branching=2, max_leaf_size=4).stats()["leaves"]
            2
        """
        sizes, depths = self.size[self.leaves], self.node_depth[self.leaves]
        child = np.flatnonzero(self.parent >= 0)
        mother = self.parent[child]
        relative = self.size[child] * self.n_children[mother] / np.maximum(self.size[mother], 1)
        return {
            "items": int(self.size[0]),
            "nodes": self.n_nodes,
            "leaves": len(self.leaves),
            "branching": self.codes.branching,
            "depth": _spread(depths),
            "leaf_size": _spread(sizes),
            "child_size_relative_to_mean": _spread(relative),
            "leaves_by_depth": {int(d): int((depths == d).sum()) for d in np.unique(depths)},
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the tree as named arrays, for saving; `branching` is an int64 [1]."""
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name) for name in _ARRAYS if name not in ("packed", "depth")
        }
        arrays["packed"] = self.codes.packed
        arrays["depth"] = self.codes.depth
        arrays["branching"] = np.array([self.codes.branching], dtype=np.int64)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make a tree from what `to_arrays` returned.

        Args:
            arrays: The named arrays.

        Returns:
            The tree.

        Raises:
            InputError: An array is missing, has another type, or the nodes do not form a tree.

        Example:
            >>> tree = build_tree(np.zeros((8, 1)))
            >>> IndexTree.from_arrays(tree.to_arrays()).codes.equals(tree.codes)
            True
        """
        missing = [name for name in (*_ARRAYS, "branching") if name not in arrays]
        if missing:
            raise InputError(f"the tree lacks {', '.join(missing)}", hint="build the tree again")
        for name, dtype in _ARRAYS.items():
            if arrays[name].dtype != dtype or arrays[name].ndim != (2 if name == "centroids" else 1):
                raise InputError(
                    f"{name} has dtype {arrays[name].dtype} and shape {arrays[name].shape}",
                    allowed=np.dtype(dtype).name,
                    hint="build the tree again",
                )
        branching = int(arrays["branching"].ravel()[0])
        codes = PathCodes(arrays["packed"], arrays["depth"], branching)
        nodes = {name: arrays[name] for name in _ARRAYS if name not in ("packed", "depth")}
        lengths = {len(array) for array in nodes.values()}
        if len(lengths) != 1:
            raise InputError(f"the node arrays have lengths {sorted(lengths)}", allowed="one length for all")
        tree = cls(**nodes, codes=codes)
        # Encoding nothing makes the core check the nodes.
        tree.encode(np.zeros((0, tree.centroids.shape[1]), dtype=np.float32))
        tree._check_links()
        return tree

    def _check_links(self) -> None:
        inner = np.flatnonzero(self.n_children > 0)
        expected = np.full(self.n_nodes, -1, dtype=np.int64)
        for node in inner:
            first = self.first_child[node]
            expected[first : first + self.n_children[node]] = node
        wrong = np.flatnonzero(expected != self.parent)
        if wrong.size:
            raise InputError(
                f"node {wrong[0]} has the parent {self.parent[wrong[0]]}",
                allowed=f"{expected[wrong[0]]}",
                hint="build the tree again",
            )

    def render(
        self, names: Sequence[str] | None = None, max_depth: int | None = None, items_per_leaf: int = 3
    ) -> str:
        """Draw the tree as text, for eyes.

        Args:
            names: One name for each item [I]; ids otherwise.
            max_depth: Levels to draw; all by default.
            items_per_leaf: Items to name at each drawn end.

        Returns:
            One line a node: child index, items below, and some of the items.

        Example:
            >>> print(build_tree(np.arange(4.0)[:, None], branching=2, max_leaf_size=2).render(), end="")
            root · 4 items
            ├─ 0 · 2 items: 0, 1
            └─ 1 · 2 items: 2, 3
        """
        if names is not None and len(names) != len(self.codes):
            raise InputError(f"{len(names)} names", allowed=f"{len(self.codes)}, one for each item")
        deepest = 255 if max_depth is None else integer("max_depth", max_depth, 0, 255)
        return "".join(f"{line}\n" for line in draw(self, names, deepest, items_per_leaf))


def build_tree(
    vectors: ArrayLike,
    branching: int = 4,
    max_leaf_size: int = 30,
    balance: tuple[float, float] = (0.4, 1.6),
    seed: int = 0,
) -> IndexTree:
    """Build an index tree by balanced k-means, level by level, down to small leaves.

    Each node of n items is split into k children (fewer where n < k) by greedy k-means++ and Lloyd's
    algorithm; then the points that cost least are moved until each child holds between
    max(1, ⌊low · n / k⌋) and ⌈high · n / k⌉ items. The best of three starts counts. The tree of DTL-NS
    (arXiv 2602.18249), with the floor enforced. The same input gives the same bytes for any number of
    threads; duplicates and zero vectors are fine.

    Args:
        vectors: Real [I, D], finite.
        branching: Children of a node, k, 2 to 65536.
        max_leaf_size: Items of a leaf at most.
        balance: Bounds of a child's size relative to the mean n / k.
        seed: 64-bit seed.

    Returns:
        The tree, with `codes` for its items and `encode` for others.

    Raises:
        InputError: A vector is not finite, a parameter is out of range, or a code needs more than 64 bits.

    Example:
        >>> tree = build_tree(np.random.default_rng(0).normal(size=(100, 4)), max_leaf_size=10)
        >>> int(tree.size[tree.leaves].max()) <= 10
        True
    """
    rows = float_rows("vectors", vectors)
    try:
        low, high = (float(bound) for bound in balance)
    except (TypeError, ValueError):
        raise InputError(f"balance is {balance!r}", allowed="two numbers, lower and upper bound") from None
    arrays = _core.build_tree(
        rows,
        integer("branching", branching, 2, 65_536),
        integer("max_leaf_size", max_leaf_size, 1, 2**31 - 1),
        (low, high),
        seed_value(seed),
    )
    codes = PathCodes(arrays.pop("packed"), arrays.pop("depth"), branching)
    return IndexTree(**arrays, codes=codes)


def _spread(values: NDArray[Any]) -> dict[str, float]:
    if not len(values):
        return {}
    return {
        "min": float(values.min()),
        "mean": float(values.mean()),
        "max": float(values.max()),
    }
