"""What a server is and can do, found out by asking it before a job begins."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, Field

from dtlns.errors import JudgeError
from dtlns.judges.llm.base import Labels, Prompt
from dtlns.judges.llm.engines.remote.dialect import Dialect, Mode, Shape, read
from dtlns.judges.llm.engines.remote.exchange import NotThereError, RefusedError, TransientError

log = logging.getLogger(__name__)
T = TypeVar("T")
Name = Annotated[str, Field(max_length=500)]


class _Model(BaseModel):
    id: Name
    owned_by: Name | None = None
    root: Name | None = None


class _Models(BaseModel):
    data: list[_Model]


class _Version(BaseModel):
    version: Name


class _Pieces(BaseModel):
    token_strs: Annotated[list[Name], Field(min_length=1)]


class Send(Protocol):
    """Sends to the server that is probed."""

    def __call__(
        self, method: str, path: str, body: Mapping[str, Any] | None, reader: Callable[[bytes], T]
    ) -> Awaitable[T]:
        """Return what the reader makes of the answer; raises as `Sender.send`."""
        ...


@dataclass(frozen=True)
class Server:
    """What was found.

    Attributes:
        dialect: How to ask it.
        version: Of vLLM, where it is vLLM.
        root: Model that it says to run under the name.
    """

    dialect: Dialect
    version: str | None
    root: str | None


async def probe(
    send: Send, url: str, model: str, labels: Labels, mode: Mode | Literal["auto"], extra: Mapping[str, Any]
) -> Server:
    """Ask one plain question, and choose or confirm how answers are read.

    Args:
        send: Sends to this server.
        url: Its address, for messages.
        model: Its name for the model.
        labels: The two answers.
        mode: `auto` takes log-probabilities where they tell the labels apart, else the choice, and says so.
        extra: Further fields of requests.

    Raises:
        JudgeError: No answer, or one that does not tell the labels apart; says what was seen.
    """
    seen: list[str] = []
    try:
        vllm, version, root = await _facts(send, model)
        modes: tuple[Mode, ...] = ("logprobs", "choice") if mode == "auto" else (mode,)
        for one in modes:
            try:
                dialect = await _confirmed(send, Dialect(model, labels, one, vllm, extra=extra))
            except RefusedError as refused:
                seen.append(f"mode {one}: {refused.reason}")
                continue
            if seen:
                log.warning("%s gives labels without probabilities; %s", url, seen[0])
            return Server(dialect, version, root)
    except TransientError as trouble:
        raise JudgeError(
            f"{url} cannot be asked: {trouble.reason}", hint="is the server up, and is this its address?"
        ) from None
    raise JudgeError(
        f"{url} cannot judge with the model {model!r}: {'; '.join(seen)}",
        hint="another model or other labels; a model that thinks first must be told not to",
    )


async def _facts(send: Send, model: str) -> tuple[bool, str | None, str | None]:
    """Return whether the server is vLLM, its version, and what it runs under the name."""
    models = await _optional(send, "/models", _Models)
    if models is None or not any(one.owned_by == "vllm" for one in models.data):
        return False, None, None
    version = await _optional(send, "/../version", _Version)
    root = next((one.root for one in models.data if one.id == model), None)
    return True, version.version if version else None, root


async def _optional(
    send: Send, path: str, shape: type[Shape], body: Mapping[str, Any] | None = None
) -> Shape | None:
    """Read what not every server has, or has in this shape; None then."""
    method = "GET" if body is None else "POST"
    try:
        return await send(method, path, body, lambda got: _sure(lambda: read(shape, got)))
    except (NotThereError, RefusedError):
        return None


async def _label_tokens(send: Send, model: str, labels: Labels) -> tuple[str, str] | None:
    """Return how vLLM's tokenizer begins the labels, or None where it does not say."""
    first: list[str] = []
    for label in (labels.positive, labels.negative):
        body = {"model": model, "prompt": label, "add_special_tokens": False, "return_token_strs": True}
        pieces = await _optional(send, "/../tokenize", _Pieces, body)
        token = pieces.token_strs[0].removeprefix("▁") if pieces else ""  # as SentencePiece begins a text
        if not token or not label.startswith(token):
            return None
        first.append(token)
    return first[0], first[1]


async def _confirmed(send: Send, dialect: Dialect) -> Dialect:
    positive, negative = dialect.labels.positive, dialect.labels.negative
    prompt = Prompt(
        f"Answer with one word: {positive} or {negative}.", f"Is the word good {positive} or {negative}?"
    )

    scored = dialect.mode == "logprobs"
    told = await _label_tokens(send, dialect.model, dialect.labels) if scored and dialect.vllm else None
    if told and told[0] == told[1]:
        raise RefusedError(f"both labels begin with the token {told[0]!r}")

    def confirmed(body: bytes) -> Dialect:
        tokens = (told or dialect.first_tokens(body)) if scored else None
        known = replace(dialect, tokens=tokens)
        known.answer(prompt, body)
        return known

    return await send(
        "POST", "/chat/completions", dialect.body(prompt), lambda body: _sure(lambda: confirmed(body))
    )


def _sure(make: Callable[[], T]) -> T:
    """Run a reader for which a wrong shape is an answer, which another attempt would not change."""
    try:
        return make()
    except TransientError as trouble:
        raise RefusedError(trouble.reason) from None
