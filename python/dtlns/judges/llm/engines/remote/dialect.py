"""What is sent to `/chat/completions` and how it is read: log-probabilities or a constrained choice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from dtlns.judges.llm.base import Answer, Labels, Prompt
from dtlns.judges.llm.engines.remote.exchange import RefusedError, TransientError

TOP = 20  # the most that OpenAI's interface, and vLLM by default, give
NEVER = -1000.0  # servers write -9999 or -inf for a token that cannot come
CHARACTERS_PER_TOKEN = 3.5

Mode = Literal["logprobs", "choice"]
Shape = TypeVar("Shape", bound=BaseModel)


class _Top(BaseModel):
    token: str
    logprob: Annotated[float, Field(le=1e-3)]  # 0 and rounding; false for NaN


class _Token(BaseModel):
    top_logprobs: list[_Top]


class _LogProbs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    index: Literal[0]
    message: _Message
    logprobs: _LogProbs | None = None


class _Details(BaseModel):
    cached_tokens: NonNegativeInt | None = None


class _Usage(BaseModel):
    prompt_tokens: NonNegativeInt
    prompt_tokens_details: _Details | None = None


class _Chat(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1, max_length=1)]
    usage: _Usage | None = None


def read(shape: type[Shape], body: bytes) -> Shape:
    """Read JSON of a known shape.

    Raises:
        TransientError: It is not JSON or has another shape; says where.
    """
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise TransientError(f"the answer has a wrong shape: {where}: {first['msg'][:100]}") from None


def estimated_tokens(prompt: Prompt) -> int:
    """Return about how many tokens a prompt has, from its characters."""
    return round((len(prompt.system) + len(prompt.user)) / CHARACTERS_PER_TOKEN)


@dataclass(frozen=True)
class Dialect:
    """How one job asks and reads: the same for all of its prompts.

    Attributes:
        model: Name that the server knows.
        labels: The two answers.
        mode: `logprobs` scores the first token of both labels; `choice` has the server write one of them.
        vllm: Whether the server understands vLLM's `structured_outputs`.
        tokens: In mode `logprobs`, the first tokens of the labels (positive, negative), once they are known.
        extra: Further fields of each request.
    """

    model: str
    labels: Labels
    mode: Mode
    vllm: bool
    tokens: tuple[str, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def decoding(self) -> dict[str, Any]:
        """The fields of a request that are the same for every prompt."""
        both = [self.labels.positive, self.labels.negative]
        fields: dict[str, Any] = {"temperature": 0}
        if self.mode == "logprobs":
            fields |= {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP}
        else:
            # a token is a byte or more; the rest is for the JSON around it
            fields |= {"max_tokens": 32 + max(len(label.encode()) for label in both)}
        if self.vllm:
            # under it every token of the list begins a label, so that both are in the list
            fields |= {"structured_outputs": {"choice": both}}
        elif self.mode == "choice":
            schema = {
                "type": "object",
                "properties": {"answer": {"type": "string", "enum": both}},
                "required": ["answer"],
                "additionalProperties": False,
            }
            wanted = {"name": "answer", "strict": True, "schema": schema}
            fields |= {"response_format": {"type": "json_schema", "json_schema": wanted}}
        return fields | dict(self.extra)

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request for one prompt."""
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        return {"model": self.model, "messages": messages, **self.decoding}

    def answer(self, prompt: Prompt, body: bytes) -> Answer:
        """Read what came back for a prompt.

        Where the server does not tell the length of the prompt, it is estimated.

        Raises:
            TransientError: The body has a wrong shape.
            RefusedError: It does not tell the labels apart; says what was seen.
        """
        chat = read(_Chat, body)
        if self.mode == "choice":
            log_odds = self._chosen(chat.choices[0].message.content)
        else:
            log_odds = self._scored(_top(chat))
        usage = chat.usage
        details = usage.prompt_tokens_details if usage else None
        return Answer(
            log_odds=log_odds,
            scored=self.mode == "logprobs",
            prompt_tokens=usage.prompt_tokens if usage else estimated_tokens(prompt),
            cached_tokens=details.cached_tokens if details else None,
        )

    def first_tokens(self, body: bytes) -> tuple[str, str]:
        """Return the first tokens of the two labels, from the top list of an answer.

        For servers that do not show their tokenizer. An answer spreads over every token that begins a label
        (`positive`, `pos`, `p`); the longest of each is taken, since tokenizers mostly begin it so.

        Raises:
            TransientError: The body has a wrong shape or no log-probabilities.
            RefusedError: A label begins with no token of the list.
        """
        top = _top(read(_Chat, body))
        positive, negative = self.labels.positive, self.labels.negative
        first = _beginning(positive, negative, top), _beginning(negative, positive, top)
        if not all(first):
            lost = positive if not first[0] else negative
            raise RefusedError(f"no token that begins {lost!r} alone is among the likely ones: {_seen(top)}")
        return first

    def _scored(self, top: Mapping[str, float]) -> float:
        assert self.tokens is not None
        lost = [token for token in self.tokens if token not in top]
        if lost:
            raise RefusedError(f"the label token {lost[0]!r} is not among the likely ones: {_seen(top)}")
        return top[self.tokens[0]] - top[self.tokens[1]]

    def _chosen(self, content: str | None) -> float:
        said: object = content
        if not self.vllm:
            try:
                said = json.loads(content or "")["answer"]
            except (ValueError, TypeError, KeyError, RecursionError):
                raise RefusedError(
                    f"the answer {_short(content)} is not the JSON that was asked for"
                ) from None
        if said == self.labels.positive:
            return 1.0
        if said == self.labels.negative:
            return -1.0
        raise RefusedError(f"the answer {_short(said)} is neither label")


def _top(chat: _Chat) -> dict[str, float]:
    """Return the possible tokens of the first place, the likeliest of those that read the same."""
    logprobs = chat.choices[0].logprobs
    if logprobs is None or not logprobs.content:
        raise TransientError("the answer has no log-probabilities")
    top: dict[str, float] = {}
    for one in logprobs.content[0].top_logprobs:
        if one.logprob > NEVER:
            top[one.token] = max(one.logprob, top.get(one.token, NEVER))
    return top


def _beginning(label: str, other: str, top: Mapping[str, float]) -> str:
    """Return the longest token that begins `label` and not `other`, or nothing."""
    fitting = [token for token in top if label.startswith(token) and not other.startswith(token)]
    return max(fitting, key=len, default="")


def _seen(top: Mapping[str, float]) -> str:
    likely = sorted(top, key=lambda token: -top[token])
    return ", ".join(f"{_short(token)} {top[token]:.2f}" for token in likely[:8]) or "none"


def _short(text: object) -> str:
    return ascii(text)[:60]
