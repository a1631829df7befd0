"""A tree as text, for eyes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dtlns.trees import IndexTree


def draw(tree: IndexTree, names: Sequence[str] | None, deepest: int, shown: int) -> Iterator[str]:
    """Yield one line a node, down to the depth `deepest`, naming `shown` items at each drawn end."""
    codes = tree.codes
    order = np.lexsort((np.arange(len(codes)), codes.depth, codes.packed))
    # In code order the items below a node lie side by side: (node, its start, lead, branch).
    stack: list[tuple[int, int, str, str]] = [(0, 0, "", "")]
    while stack:
        node, start, lead, branch = stack.pop()
        end = tree.n_children[node] == 0 or tree.node_depth[node] >= deepest
        size = int(tree.size[node])
        label = "root" if node == 0 else f"{branch}{node - tree.first_child[tree.parent[node]]}"
        text = f"{lead}{label} · {size} item{'' if size == 1 else 's'}"
        if end and size and shown:
            some = order[start : start + min(size, shown)]
            text += ": " + ", ".join(names[i] if names is not None else str(i) for i in some)
            text += ", …" if size > shown else ""
        yield text
        if end:
            continue
        inner = "" if node == 0 else lead + ("   " if branch == "└─ " else "│  ")
        first, count = int(tree.first_child[node]), int(tree.n_children[node])
        starts = start + np.concatenate([[0], np.cumsum(tree.size[first : first + count])])
        for child in reversed(range(count)):
            mark = "└─ " if child == count - 1 else "├─ "
            stack.append((first + child, int(starts[child]), inner, mark))
