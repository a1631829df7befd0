"""Prompts that are made when they are looked at, so that those of millions of pairs need no memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from dtlns.judges.llm.base import Prompt

PAIRS_PER_BLOCK = 2048


class _Lazy(Sequence[Prompt]):
    """A sequence that a subclass fills one prompt at a time."""

    @abstractmethod
    def _at(self, place: int) -> Prompt: ...

    @overload
    def __getitem__(self, place: int) -> Prompt: ...
    @overload
    def __getitem__(self, place: slice) -> list[Prompt]: ...
    def __getitem__(self, place: int | slice) -> Prompt | list[Prompt]:
        if isinstance(place, slice):
            return [self._at(one) for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(f"prompt {place} of {len(self)}")
        return self._at(place % len(self))


class PromptList(_Lazy):
    """The prompts of pairs: a block of them is made at a time, and the last two blocks are held.

    Args:
        make: Returns the prompts of some pairs, given users and items.
        users: int64 [N], those of one user side by side.
        items: int64 [N].

    Example:
        >>> make = lambda users, items: [Prompt("", f"{u}: {i}") for u, i in zip(users, items)]
        >>> prompts = PromptList(make, np.array([0, 0, 1]), np.array([5, 6, 7]))
        >>> len(prompts), prompts[-1].user, [prompt.user for prompt in prompts[:2]]
        (3, '1: 7', ['0: 5', '0: 6'])
    """

    def __init__(
        self,
        make: Callable[[NDArray[np.int64], NDArray[np.int64]], list[Prompt]],
        users: NDArray[np.int64],
        items: NDArray[np.int64],
    ) -> None:
        self._make, self._users, self._items = make, users, items
        self._held: dict[int, list[Prompt]] = {}

    def __len__(self) -> int:
        return len(self._users)

    def _at(self, place: int) -> Prompt:
        block, offset = divmod(place, PAIRS_PER_BLOCK)
        held = self._held.get(block)
        if held is None:
            span = slice(block * PAIRS_PER_BLOCK, (block + 1) * PAIRS_PER_BLOCK)
            held = self._make(self._users[span], self._items[span])
            self._held = dict([*self._held.items()][-1:]) | {block: held}
        return held[offset]


class Chosen(_Lazy):
    """Some of the prompts of a sequence.

    Args:
        prompts: The sequence.
        places: Which of them, and in which order.
    """

    def __init__(self, prompts: Sequence[Prompt], places: Sequence[int]) -> None:
        self._prompts, self._places = prompts, places

    def __len__(self) -> int:
        return len(self._places)

    def _at(self, place: int) -> Prompt:
        return self._prompts[self._places[place]]
