"""Prompts: from codes and histories to the question about each pair.

The reader of a prompt does the comparing. What a history shows does not depend on the candidate, so that all
prompts of a user are the same up to it, and a prefix cache reads the history once.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template as Text
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtlns._border import id_array, integer, seed_value, word
from dtlns.errors import InputError
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.base import Prompt
from dtlns.judges.llm.histories import EMPTY, Codebook, gather, grouped_text, item_line, itemised_text
from dtlns.judges.llm.template import Template, load_template
from dtlns.sampling import keyed_uniform

__all__ = ["Order", "PromptMaker", "Template", "load_template"]

Order = Literal["grouped", "random"]
SHOWING, KEEPING = 200, 201
"""Purposes of the streams that shuffle a history and that choose what a budget keeps."""


class PromptMaker:
    """Makes the prompts of one request.

    Args:
        request: Histories and codes; any number of named views. Its candidates are not read.
        template: The wording.
        order: Of a history: `grouped` by code, or `random` by user, seeded.
        seed: 64-bit seed of a random order and of what a budget leaves out.
        budget: Tokens that the entries of a history may take, or None. It is counted in bytes of text: no
            token is shorter, so the bound holds for every model, and the prompts are the same for all; models
            that read digits one by one come close to it. Where it is exceeded, whole entries are left out,
            those of the fewest items first, drawn among equals, and a line says how many items are missing.
        texts: [I], one harmless line for each item (`dtlns.judges.llm.texts`), for a template of the form
            `described` and no other.

    Attributes:
        template: The wording.
        settings: What decides the prompts besides the request, plain JSON values.

    Raises:
        InputError: There is no view, its name or its codes do not fit, or a setting is out of range.

    Example:
        >>> import scipy.sparse as sp
        >>> from dtlns import PathCodes, TrainView
        >>> from dtlns.candidates import Candidates
        >>> train = TrainView.from_csr(sp.csr_array([[1, 1, 0]]))
        >>> codes = {"only": PathCodes.from_paths([(0, 2, 1), (0, 2, 3), (0, 1)])}
        >>> none = Candidates(np.full((1, 1), -1), np.zeros((1, 1), np.float32))
        >>> maker = PromptMaker(JudgeRequest(train, codes, none), load_template("compact-1"))
        >>> print(maker.prompts([0], [2])[0].user)
        History of 2 items:
        02: 1 3
        Candidate: 01
    """

    def __init__(
        self,
        request: JudgeRequest,
        template: Template,
        *,
        order: Order = "grouped",
        seed: int = 0,
        budget: int | None = None,
        texts: Sequence[str] | None = None,
    ) -> None:
        if not request.codes:
            raise InputError("there is no view", allowed="path codes of at least one view")
        for name, codes in request.codes.items():
            if not name.isprintable() or set(name) & set(":,"):
                raise InputError(
                    f"a view is called {name!r}",
                    allowed="printable names without colon and comma: prompts hold them beside the codes",
                )
            if len(codes) != request.train.n_items:
                raise InputError(
                    f"the view {name!r} has codes of {len(codes)} items", allowed=f"{request.train.n_items}"
                )
        if (texts is not None) != (template.form == "described"):
            raise InputError(
                f"the template {template.name!r} shows its history {template.form}, and there is "
                f"{'no ' if texts is None else ''}item text",
                allowed="item text with a template of the form described, such as described-1",
            )
        if texts is not None and len(texts) != request.train.n_items:
            raise InputError(f"{len(texts)} item texts", allowed=f"{request.train.n_items}")
        self.template = template
        self._train, self._views = request.train, list(request.codes)
        self._order = word("order", order, get_args(Order))
        self._seed = seed_value(seed)
        self._budget = None if budget is None else integer("budget", budget, 1, 2**31 - 1)
        self.settings: dict[str, Any] = {
            "template": template.name,
            "template_sha256": template.sha256,
            "order": self._order,
            "seed": self._seed,
            "budget": self._budget,
        }
        self._book = Codebook(request.codes, texts)
        self._grouped = template.form == "grouped"
        shared = {
            "views": ", ".join(self._views),
            "levels": _levels([codes.branching for codes in request.codes.values()]),
            "positive": template.labels.positive,
            "negative": template.labels.negative,
        }
        self._system = Text(template.system).substitute(shared)
        before, after = _split_at_candidate(template.user)
        self._before, self._after = Text(before), Text(after)
        self._shared, self._left_out = shared, Text(template.left_out)
        self._candidates = [self._candidate(number) for number in range(len(self._book))]

    def prompts(self, users: ArrayLike, items: ArrayLike) -> list[Prompt]:
        """Make the prompt of each pair.

        Args:
            users: int [N].
            items: int [N], the candidates.

        Returns:
            N prompts. A user's history is reduced once, however many of the pairs are the user's.

        Raises:
            InputError: The arrays have different lengths, or an id is out of range.
        """
        users, items = id_array("users", users, 1), id_array("items", items, 1)
        if len(users) != len(items):
            raise InputError(f"{len(users)} users and {len(items)} items", allowed="as many of both")
        for name, ids, size in (
            ("users", users, self._train.n_users),
            ("items", items, self._train.n_items),
        ):
            if len(ids) and not (ids.min() >= 0 and ids.max() < size):
                raise InputError(f"{name} hold {ids.min()} to {ids.max()}", allowed=f"0 to {size - 1}")
        distinct, place = np.unique(users, return_inverse=True)
        heads = self._heads(distinct)
        candidates, system = self._candidates, self._system
        tails = [self._after.substitute(self._shared, items=n) for n in self._train.user_counts[distinct]]
        numbers = self._book.of_item[items].tolist()
        return [
            Prompt(system, heads[at] + candidates[number] + tails[at], shared=len(heads[at]))
            for at, number in zip(place.tolist(), numbers, strict=True)
        ]

    def _heads(self, users: NDArray[np.int64]) -> list[str]:
        """Return what the user messages of each user share: all up to the candidate."""
        histories = gather(self._train, self._book, users, merge=self._grouped)
        heads = []
        for place, user in enumerate(users.tolist()):
            numbers, counts = histories.of(place)
            history = self._history(user, numbers, counts)
            heads.append(self._before.substitute(self._shared, items=int(counts.sum()), history=history))
        return heads

    def _history(self, user: int, numbers: NDArray[np.int64], counts: NDArray[np.int64]) -> str:
        """Return the text of a history, cut down to the budget."""
        if self._order == "random":
            shown = np.argsort(self._draw(user, len(numbers), SHOWING), kind="stable")
        else:
            shown = np.arange(len(numbers))
        text = self._text(numbers[shown], counts[shown])
        if self._budget is None or len(text.encode()) <= self._budget:
            return text
        # `rank` says how many entries are kept before an entry is
        rank = np.empty(len(numbers), dtype=np.int64)
        rank[np.lexsort((self._draw(user, len(numbers), KEEPING), -counts))] = np.arange(len(numbers))
        fits, too_many = 0, len(numbers)
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            kept = shown[rank[shown] < middle]
            if len(self._text(numbers[kept], counts[kept]).encode()) <= self._budget:
                fits = middle
            else:
                too_many = middle
        kept = shown[rank[shown] < fits]
        missing = self._left_out.substitute(left_out=int(counts.sum() - counts[kept].sum()))
        return "\n".join([self._text(numbers[kept], counts[kept]), missing] if fits else [missing])

    def _text(self, numbers: NDArray[np.int64], counts: NDArray[np.int64]) -> str:
        if not len(numbers):
            return EMPTY
        if self._grouped:
            return grouped_text(self._book, numbers.tolist(), counts.tolist())
        return itemised_text(self._book, self._views, numbers.tolist())

    def _candidate(self, number: int) -> str:
        if self._grouped:
            return "/".join("".join(code) or EMPTY for code in self._book.levels[number])
        return item_line(self._book, self._views, number)

    def _draw(self, user: int, n: int, purpose: int) -> NDArray[np.float32]:
        numbers: NDArray[np.float32] = keyed_uniform([user], n, seed=self._seed, epoch=0, purpose=purpose)
        return numbers.ravel()


def _levels(branching: Sequence[int]) -> str:
    """Say how the levels of a code are told apart, as `Codebook` writes them."""
    digit, number = "one digit for each level", "a dot and a number for each level"
    kinds = {digit if k <= 10 else number for k in branching}
    return " or ".join(kind for kind in (digit, number) if kind in kinds)


def _split_at_candidate(user: str) -> tuple[str, str]:
    """Split the text at `$candidate`, which a template has once."""
    found = next(one for one in Text.pattern.finditer(user) if "candidate" in (one["named"], one["braced"]))
    return user[: found.start()], user[found.end() :]
