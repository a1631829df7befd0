"""What passes between the prompts, the engines and the stored answers of an LLM judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question about one pair, in two chat messages.

    What prompts share comes first in each of them, so that an engine with a prefix cache reads it once: all
    prompts of a job share `system`, and all prompts of a user the beginning of `user`.

    Attributes:
        system: The rules.
        user: The history and then the candidate.
        shared: Characters at the beginning of `user` that all prompts of the same user share; no part of the
            question.
    """

    system: str
    user: str
    shared: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Labels:
    """The two answers that there are.

    Attributes:
        positive: What stands for a false negative, such as `positive`.
        negative: What stands for the other.
    """

    positive: str
    negative: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine said to one prompt.

    Attributes:
        log_odds: log P(positive) - log P(negative), finite. Where an engine gives no probabilities: 1 for the
            label positive and -1 for negative, and `scored` is false.
        scored: Whether `log_odds` comes from probabilities.
        prompt_tokens: Length of the prompt in tokens, chat template included.
        cached_tokens: How many of them were not computed, since a prefix cache had them; None where the
            engine does not say.
    """

    log_odds: float
    scored: bool
    prompt_tokens: int
    cached_tokens: int | None


@dataclass(frozen=True)
class Failure:
    """Why a prompt has no answer, after all retries.

    Attributes:
        reason: For people; never holds a key.
    """

    reason: str


class Engine(Protocol):
    """Asks a language model; made once for a job, closed at its end."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON values that decide the answer to a prompt: the key of stored answers.

        Model and revision, tokenizer, chat template, dtype, engine with version, decoding settings, labels;
        not what changes nothing, such as an endpoint, a key or a batch size.
        """
        ...

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Return the length of each prompt in tokens, chat template included; asks the model nothing."""
        ...

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (place in `prompts`, what came of it), each place once, in the order in which they end.

        A consumer that stops early loses nothing that was yielded; `GeneratorExit` and KeyboardInterrupt
        stop the asking.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...
