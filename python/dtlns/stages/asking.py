"""Asking a language model ahead of judging: one prompt to look at, what all would cost, a share of them.

Nothing here makes an artefact. Answers are kept in the judge's folder, and `write_judged` finds them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact
from dtlns.errors import ConfigError, InputError
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.answers import missing, prompt_key
from dtlns.judges.llm.base import Prompt
from dtlns.judges.llm.job import ask_all
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.llm.lazy import Chosen
from dtlns.stages.calibration import check_same_train, rebuild_codes, search_enough
from dtlns.stages.candidates import load_candidates
from dtlns.stages.trees import load_codes

SAMPLE = 2000  # prompts whose tokens are counted for an estimate
FIRST, MORE, LONG, PART = 16, 4, 5.0, 20  # see `_probe`


@dataclass(frozen=True)
class Shard:
    """Some of the users: those whose index leaves `at` when divided by `of`.

    Attributes:
        at: From 0.
        of: Number of shards.
    """

    at: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `i/n`.

        Raises:
            InputError: It is something else.

        Example:
            >>> Shard.parse("0/4")
            Shard(at=0, of=4)
        """
        at, slash, of = text.partition("/")
        if not (slash and at.isdecimal() and of.isdecimal() and int(at) < int(of)):
            raise InputError(f"shard {text!r}", allowed="i/n with 0 <= i < n, such as 0/4")
        return cls(int(at), int(of))

    def rows(self, users: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of these users, int64 [N], are in the shard."""
        inside: NDArray[np.bool_] = users % self.of == self.at
        return inside


def final_request(candidates: Artifact, trees: Artifact) -> JudgeRequest:
    """Return what `write_judged` asks."""
    check_same_train(candidates, trees)
    found, train = load_candidates(candidates)
    return JudgeRequest(train, load_codes(trees), found)


def calibration_request(
    candidates: Artifact, trees: Artifact, hidden: Artifact, users: int | None = None
) -> JudgeRequest:
    """Return what `write_calibration` asks: of the pipeline rebuilt without the hidden positives."""
    check_same_train(candidates, trees, hidden)
    there = search_enough(candidates, hidden, users)  # before anything is paid for
    return JudgeRequest(there.visible, rebuild_codes(trees, there.visible, there.scorer), there.candidates)


def show(judge: LLMJudge, request: JudgeRequest, user: int, rank: int = 0) -> Prompt:
    """Return the prompt of one pair.

    Args:
        judge: Which template and history.
        request: Where the pair is from.
        user: Its user.
        rank: The candidate's place, from 0.

    Raises:
        InputError: There is no such candidate.
    """
    users, _ = request.candidates.pairs()
    rows = (users == user) & (request.candidates.ranks() == rank)
    if not rows.any():
        raise InputError(
            f"user {user} has no candidate of rank {rank}",
            allowed=f"users 0 to {request.train.n_users - 1}, ranks 0 to {request.candidates.m - 1}",
        )
    (prompt,) = judge.prompts(request, rows)
    return prompt


def estimate(
    judge: LLMJudge, request: JudgeRequest, shard: Shard, price_per_million: float | None = None
) -> dict[str, Any]:
    """Say what asking would cost, and ask just so much that the time can be told; these answers are kept.

    Args:
        judge: Its engine counts the tokens.
        request: What would be asked.
        shard: For which users.
        price_per_million: Money for a million prompt tokens, in any currency.

    Returns:
        JSON values: `candidates`; `pairs`, those of them that the model is asked about; `known` and `to_ask`,
        different prompts that were answered before and that were not (items of the same codes make one);
        `prompt_tokens` of those to ask, scaled from `counted_prompts` of them; `price` of these tokens;
        `computed_tokens`, not taken from the engine's prefix cache (all, where it does not say), and
        `seconds` for those to ask, as `asked_now` of them took.

    Raises:
        ConfigError: A price is negative.
        JudgeError: A prompt that was asked has no answer.
    """
    if price_per_million is not None and not price_per_million >= 0:
        raise ConfigError(f"the price of a million tokens is {price_per_million}", allowed="0 or more")
    users, _ = request.candidates.pairs()
    prompts = judge.prompts(request, shard.rows(users) & judge.asked(request))
    keys = [prompt_key(prompt) for prompt in prompts]
    places = missing(keys, judge.store().load(keys))
    new = Chosen(prompts, places)
    sample = judge.engine.count_tokens(new[:SAMPLE])
    tokens = sum(sample) / max(len(sample), 1) * len(new)
    asked, computed, seconds = _probe(judge, new)
    return {
        "candidates": int(shard.rows(users).sum()),
        "pairs": len(prompts),
        "known": len(set(keys)) - len(places),
        "to_ask": len(places),
        "prompt_tokens": round(tokens),
        "computed_tokens": round(computed * len(new)),
        "counted_prompts": len(sample),
        "price": None if price_per_million is None else tokens * price_per_million / 1e6,
        "seconds": seconds * len(new),
        "asked_now": asked,
    }


def _probe(judge: LLMJudge, prompts: Sequence[Prompt]) -> tuple[int, float, float]:
    """Ask some prompts; return how many, and the tokens computed and the seconds for one.

    Engines warm up and are fast with many prompts at once only. So each round asks several times as many as
    the one before, until one takes some seconds, and the speed of this one counts. All rounds together ask a
    twentieth of the prompts, or one round.
    """
    asked, computed, seconds, size = 0, 0, 0.0, FIRST
    while prompts and (not asked or asked + size <= len(prompts) // PART):
        _, cost = ask_all(judge.engine, judge.store(), prompts[asked : asked + size])
        if not cost.asked:  # another job was faster
            break
        seconds = cost.seconds / cost.asked
        computed += cost.computed_tokens
        asked, size = asked + cost.asked, size * MORE
        if cost.seconds >= LONG:
            break
    return asked, computed / max(asked, 1), seconds
