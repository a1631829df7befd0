"""What a prompt shows of a history: its codes, reduced once for each user, and the text that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.codes import PathCodes
from dtlns.data.views import TrainView

EMPTY = "-"
"""How a code without levels is written: that of a tree that is one leaf."""


class Codebook:
    """The distinct codes of a catalogue, jointly over all views, in the order of the trees.

    Items that no view tells apart have one number, so that a history is a bag of numbers. They are compared
    view by view, yet shown together: which code of one view belongs to which of another is kept.

    Attributes:
        of_item: int64 [I], each item's number.
        levels: For each number and view, the text of each level: `0`, `2`, or `.12`, `.3` where children of
            a node are more than ten. Joined, they are the code, and split anywhere, its two parts.

        texts: The text of each number, or None.

    Args:
        codes: Path codes [I] by view name.
        texts: [I], or None; items of different texts have different numbers.

    Example:
        >>> book = Codebook({"only": PathCodes.from_paths([(2, 0), (1,), (2, 0)])})
        >>> book.of_item.tolist(), book.levels
        ([1, 0, 1], [(('1',),), (('2', '0'),)])
    """

    def __init__(self, codes: Mapping[str, PathCodes], texts: Sequence[str] | None = None) -> None:
        keys: list[NDArray[Any]] = [key for view in codes.values() for key in (view.packed, view.depth)]
        if texts is not None:
            keys.append(np.unique(np.array(texts, dtype=object), return_inverse=True)[1])
        order = np.lexsort(keys[::-1])
        new = np.zeros(len(order), dtype=np.bool_)
        for key in keys:
            new[1:] |= key[order][1:] != key[order][:-1]
        self.of_item = np.empty(len(order), dtype=np.int64)
        self.of_item[order] = np.cumsum(new)
        first = order[np.flatnonzero(np.concatenate([[True], new[1:]]))] if len(order) else order
        views = []
        for view in codes.values():
            names = [str(child) if view.branching <= 10 else f".{child}" for child in range(view.branching)]
            paths = PathCodes(view.packed[first], view.depth[first], view.branching).to_paths()
            views.append([tuple(names[child] for child in path) for path in paths])
        self.texts = None if texts is None else [texts[item] for item in first.tolist()]
        self.levels: list[tuple[tuple[str, ...], ...]] = list(zip(*views, strict=True))

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, eq=False)
class Histories:
    """The histories of some users as entries: which codes, and how many items have them.

    Attributes:
        indptr: int64 [B + 1], where each user's entries start.
        codes: int64 [E], numbers of the codebook, increasing within a user.
        counts: int64 [E], items of each entry.
    """

    indptr: NDArray[np.int64]
    codes: NDArray[np.int64]
    counts: NDArray[np.int64]

    def of(self, place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the codes and counts of the user at a place."""
        span = slice(self.indptr[place], self.indptr[place + 1])
        return self.codes[span], self.counts[span]


def gather(train: TrainView, book: Codebook, users: NDArray[np.int64], *, merge: bool) -> Histories:
    """Look up the codes of some users' histories.

    Args:
        train: The histories.
        book: Their codes.
        users: int64 [B].
        merge: Whether items of the same codes are one entry with a count; else each item is an entry.

    Returns:
        The entries, by user and code.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 1, 1]]))
        >>> book = Codebook({"only": PathCodes.from_paths([(2, 0), (1,), (2, 0)])})
        >>> found = gather(train, book, np.array([0]), merge=True)
        >>> found.codes.tolist(), found.counts.tolist()
        ([0, 1], [1, 2])
    """
    lengths = train.user_counts[users]
    ends = np.cumsum(lengths)
    at = np.arange(int(lengths.sum())) + np.repeat(train.indptr[users] - (ends - lengths), lengths)
    keys = np.repeat(np.arange(len(users)), lengths) * max(len(book), 1) + book.of_item[train.indices[at]]
    if merge:
        keys, counts = np.unique(keys, return_counts=True)
    else:
        keys.sort()
        counts = np.ones(len(keys), dtype=np.int64)
    rows, numbers = np.divmod(keys, max(len(book), 1))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(users)))])
    return Histories(indptr.astype(np.int64), numbers, counts.astype(np.int64))


def grouped_text(book: Codebook, numbers: Sequence[int], counts: Sequence[int]) -> str:
    """Write entries in groups of one beginning of the first view's code, one group a line.

    `02: 13/201 3/33x2` holds the codes 0213/201 once and 023/33 twice. Groups and entries come in the order
    of `numbers`. All beginnings have the same length, or end where the code does; it is the one that makes
    the text shortest.

    Args:
        book: The codes.
        numbers: Entries, as numbers of the codebook.
        counts: Items of each.

    Returns:
        The lines, without an end of line after the last.

    Example:
        >>> paths = {"a": [(0, 2, 1), (0, 2, 3)], "b": [(1,), ()]}
        >>> book = Codebook({name: PathCodes.from_paths(view) for name, view in paths.items()})
        >>> print(grouped_text(book, [0, 1], [1, 3]))
        02: 1/1 3/-x3
    """
    entries = []
    for number, count in zip(numbers, counts, strict=True):
        first, *others = book.levels[number]
        tail = "".join("/" + ("".join(code) or EMPTY) for code in others)
        entries.append((first, tail if count == 1 else f"{tail}x{count}"))
    best = ""
    for cut in range(max((len(first) for first, _ in entries), default=0) + 1):
        groups: dict[str, str] = {}
        for first, tail in entries:
            head = "".join(first[:cut]) or EMPTY
            groups[head] = f"{groups.get(head, head + ':')} {''.join(first[cut:]) or EMPTY}{tail}"
        text = "\n".join(groups.values())
        if not best or len(text) < len(best):
            best = text
    return best


def itemised_text(book: Codebook, views: Sequence[str], numbers: Sequence[int]) -> str:
    """Write each item on a line, with the name of the view before each code, as `a: 0-2-1, b: 1`.

    Where the codebook has texts, each line ends with the item's, as `a: 0-2-1, b: 1, "A ball"`.

    Args:
        book: The codes.
        views: Names of the views.
        numbers: Items, as numbers of the codebook.

    Returns:
        The lines, without an end of line after the last.

    Example:
        >>> book = Codebook({"a": PathCodes.from_paths([(0, 2, 1), ()])})
        >>> print(itemised_text(book, ["a"], [1, 0]))
        a: 0-2-1
        a: -
    """
    return "\n".join(item_line(book, views, number) for number in numbers)


def item_line(book: Codebook, views: Sequence[str], number: int) -> str:
    """Return one number as a line of `itemised_text`, levels joined by dashes."""
    parts = [
        f"{view}: {'-'.join(level.lstrip('.') for level in code) or EMPTY}"
        for view, code in zip(views, book.levels[number], strict=True)
    ]
    return ", ".join(parts if book.texts is None else [*parts, f'"{book.texts[number]}"'])
