"""A reader of prompts that is no language model: what can be said from a prompt's text, and nothing else.

It takes the history and the candidate out of the text of the shipped templates and applies the prefix rule to
them. So it measures what a prompt holds: a shorter prompt that loses nothing gives the same answers.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from dtlns.errors import InputError
from dtlns.judges.llm.base import Prompt

Code = tuple[int, ...]
Item = tuple[Code, ...]

_LEVELS = r"(?:-|\d+|(?:\.\d+)+)"
_ITEM = rf"{_LEVELS}(?:/{_LEVELS})*"
_GROUP = re.compile(rf"({_LEVELS}):((?: {_ITEM}(?:x\d+)?)+)")
_NAMED = r"[^:]+: (?:-|\d+(?:-\d+)*)"
_LINE = re.compile(rf"{_NAMED}(?:, {_NAMED})*")
_CANDIDATE = "Candidate: "


@dataclass(frozen=True)
class Reading:
    """What a prompt says.

    Attributes:
        history: Items of the history that have the same codes, by these codes, one for each view.
        candidate: The candidate's codes.
    """

    history: Counter[Item]
    candidate: Item

    def score(self) -> int:
        """Return the longest prefix that the candidate shares with the history, summed over views.

        Example:
            >>> Reading(Counter({((0, 2), (1,)): 1, ((3,), (0,)): 2}), ((0, 1), (0,))).score()
            2
        """
        return sum(
            max((_shared(code, item[view]) for item in self.history), default=0)
            for view, code in enumerate(self.candidate)
        )


def read(prompt: Prompt) -> Reading:
    """Take the user message of a shipped template apart.

    Args:
        prompt: Made with `compact-1` or `full-1`, or a template with their lines.

    Returns:
        The history and the candidate.

    Raises:
        InputError: The message names no candidate.

    Example:
        >>> reading = read(Prompt("", "History:\\n02: 1/0 3/1x2\\nCandidate: 021/0"))
        >>> sorted(reading.history.items())
        [(((0, 2, 1), (0,)), 1), (((0, 2, 3), (1,)), 2)]
        >>> reading.candidate
        ((0, 2, 1), (0,))
    """
    before, found, candidate = prompt.user.rpartition(f"\n{_CANDIDATE}")
    if not found:
        raise InputError(f"the prompt says {prompt.user[-80:]!r}", allowed=f"a line {_CANDIDATE}CODES")
    candidate = candidate.split("\n")[0]
    return Reading(_history(before), _named(candidate) if ": " in candidate else _item(candidate))


def _history(text: str) -> Counter[Item]:
    """Read the lines that hold items."""
    history: Counter[Item] = Counter()
    for line in text.split("\n"):
        group = _GROUP.fullmatch(line)
        if group is not None:
            head = _code(group[1])
            for entry in group[2].split():
                codes, _, count = entry.partition("x")
                first, *others = _item(codes)
                history[(head + first, *others)] += int(count or 1)
        elif _LINE.fullmatch(line):
            history[_named(line)] += 1
    return history


def _item(text: str) -> Item:
    return tuple(_code(code) for code in text.split("/"))


def _code(text: str) -> Code:
    """Read `-`, digits that are a level each, or levels that begin with a dot."""
    levels = text[1:].split(".") if text.startswith(".") else text.replace("-", "")
    return tuple(int(level) for level in levels)


def _named(line: str) -> Item:
    codes = (part.rpartition(": ")[2] for part in line.split(", "))
    return tuple(tuple(int(level) for level in code.split("-") if level) for code in codes)


def _shared(a: Code, b: Code) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length
