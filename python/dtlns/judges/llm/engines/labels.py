"""How two labels are told apart in a tokenizer, and what a model must show before its scores are trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dtlns.errors import ConfigError
from dtlns.judges.llm.base import Labels, Prompt

LEAST_SHARE = 1e-3  # of its probability that a model gives to the two labels when plainly asked for one


@dataclass(frozen=True)
class Step:
    """One look at the model's next token.

    Attributes:
        forced: Tokens of a label that follow the prompt before the look.
        tokens: Those whose log-probabilities are read.
        signs: For each of them, 1 if it belongs to the positive label and -1 for the other.
    """

    forced: tuple[int, ...]
    tokens: tuple[int, ...]
    signs: tuple[int, ...]


@dataclass(frozen=True)
class LabelTokens:
    """Two labels in the tokens of a model, as they follow the chat template's generation prompt.

    Where their first tokens differ, these two are compared after the prompt alone. Else the whole labels are:
    the sums of their tokens' log-probabilities, without the tokens that both begin with, which cancel.

    Attributes:
        positive: Token ids of the positive label.
        negative: Token ids of the other.

    Raises:
        ConfigError: One label is the beginning of the other, so no answer tells them apart.

    Example:
        >>> LabelTokens((7, 8), (9,)).steps
        (Step(forced=(), tokens=(7, 9), signs=(1, -1)),)
        >>> LabelTokens((7, 8), (7, 9)).method
        'sequence'
    """

    positive: tuple[int, ...]
    negative: tuple[int, ...]

    def __post_init__(self) -> None:
        if self._shared == min(len(self.positive), len(self.negative)):
            raise ConfigError(
                "the labels cannot be told apart in this tokenizer: their tokens are "
                f"{list(self.positive)} and {list(self.negative)}",
                allowed="two labels of which neither is the beginning of the other",
            )

    @property
    def _shared(self) -> int:
        pairs = zip(self.positive, self.negative, strict=False)
        return next(
            (at for at, (one, other) in enumerate(pairs) if one != other), len(min(self._both, key=len))
        )

    @property
    def _both(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.positive, self.negative

    @property
    def method(self) -> Literal["first token", "sequence"]:
        """How the labels are scored."""
        return "sequence" if self._shared else "first token"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The looks that a prompt takes; the first one sees both labels."""
        at = self._shared
        first = Step(self.positive[:at], (self.positive[at], self.negative[at]), (1, -1))
        if not at:
            return (first,)
        rest = [
            Step(label[:place], (label[place],), (sign,))
            for label, sign in zip(self._both, (1, -1), strict=True)
            for place in range(at + 1, len(label))
        ]
        return (first, *rest)

    def log_odds(self, log_probs: Sequence[Sequence[float]]) -> float:
        """Return log P(positive) - log P(negative) from what the steps read."""
        return math.fsum(
            sign * value
            for step, values in zip(self.steps, log_probs, strict=True)
            for sign, value in zip(step.signs, values, strict=True)
        )


@dataclass(frozen=True)
class Sighting:
    """What a model showed for a probe prompt.

    Attributes:
        log_probs: What the steps of the labels read.
        top: The likeliest next tokens and their log-probabilities, best first.
    """

    log_probs: Sequence[Sequence[float]]
    top: Sequence[tuple[str, float]]


def probes(labels: Labels) -> list[Prompt]:
    """Return plain prompts that any chat model can answer with a label, and should answer differently."""
    rules = f"Answer with exactly one word: {labels.positive} or {labels.negative}. Write nothing else."
    questions = [
        f"The word is {labels.positive}. Which word is it?",
        f"The word is {labels.negative}. Which word is it?",
        f"Choose one of the two words {labels.positive} and {labels.negative}.",
    ]
    return [Prompt(rules, question) for question in questions]


def check_sightings(model: str, labels: Labels, tokens: LabelTokens, seen: Sequence[Sighting]) -> None:
    """Refuse a model whose label scores mean nothing.

    Args:
        model: Its name, for the message.
        labels: The two answers.
        tokens: Their tokens.
        seen: What the model showed for `probes(labels)`.

    Raises:
        ConfigError: A log-probability is not finite, the answers to all probes are the same to the last bit,
            or the labels have next to no probability together; the message says what was seen.
    """
    values = [value for one in seen for step in one.log_probs for value in step]
    shares = [math.fsum(math.exp(min(value, 0.0)) for value in one.log_probs[0]) for one in seen]
    if not all(math.isfinite(value) for value in values):
        what = "a log-probability is not finite"
    elif len({tokens.log_odds(one.log_probs) for one in seen}) == 1:
        what = "different prompts have the same answer to the last bit"
    elif max(shares) < LEAST_SHARE:
        what = f"the labels together have at most {max(shares):.1g} of the probability"
    else:
        return
    lines = [
        f"labels {labels.positive!r} {list(tokens.positive)} and {labels.negative!r} {list(tokens.negative)}"
    ]
    for one in seen:
        read = ", ".join(f"{value:.3f}" for step in one.log_probs for value in step)
        top = ", ".join(f"{token!r} {value:.2f}" for token, value in one.top)
        lines.append(f"log-probabilities {read}; likeliest next tokens {top}")
    raise ConfigError(
        f"{model} fails the start-up check: {what}. Seen: " + " | ".join(lines),
        hint="choose a chat model, or labels that it answers with; a model that thinks before it answers "
        "may have a template option that turns this off",
    )


def label_tokens(tokenizer: Any, generation_prompt: str, labels: Labels) -> LabelTokens:
    """Find the labels' tokens after a rendered prompt.

    Args:
        tokenizer: Of transformers.
        generation_prompt: A rendered chat that ends where the answer begins.
        labels: The two answers.

    Returns:
        The tokens. Where a tokenizer would merge the prompt's end with a label, the label's own tokens: a
        model goes on after the prompt's tokens and cannot change them.

    Raises:
        ConfigError: A label is not read back from its tokens, or the labels cannot be told apart.
    """
    return LabelTokens(
        _tokens(tokenizer, generation_prompt, labels.positive),
        _tokens(tokenizer, generation_prompt, labels.negative),
    )


def _tokens(tokenizer: Any, before: str, label: str) -> tuple[int, ...]:
    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    prompt, whole = encode(before), encode(before + label)
    own = whole[len(prompt) :] if whole[: len(prompt)] == prompt else encode(label)
    read = tokenizer.decode(own, skip_special_tokens=False)
    if not own or read.strip() != label.strip():
        raise ConfigError(
            f"the label {label!r} has the tokens {own} in this tokenizer, which read {read!r}",
            allowed="labels that the tokenizer can write",
        )
    return tuple(own)
