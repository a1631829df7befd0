"""Any server that speaks OpenAI's chat interface: vLLM, llama.cpp, hosted ones; several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, NonNegativeInt

from dtlns.errors import ConfigError, JudgeError
from dtlns.judges.llm.base import Answer, Failure, Labels, Prompt
from dtlns.judges.llm.engines.local import missing_library
from dtlns.judges.llm.engines.remote.dialect import Mode, estimated_tokens, read
from dtlns.judges.llm.engines.remote.endpoints import base_url
from dtlns.judges.llm.engines.remote.exchange import RefusedError, TransientError, api_key
from dtlns.judges.llm.engines.remote.probe import Server, probe
from dtlns.judges.llm.engines.remote.retries import Backoff
from dtlns.judges.llm.engines.remote.sender import Sender

T = TypeVar("T")
PROBE_RETRIES = 5


class _Count(BaseModel):
    count: NonNegativeInt


class ServerEngine:
    """Asks a model behind one or more servers with OpenAI's chat interface.

    Requests go to the server with the most free slots, all of one user to the same, since its cache holds the
    history. A failed one (429, 5xx, no connection, time-out, an answer of a wrong shape) is made again after
    a random wait that grows, on any server; one that says `Retry-After` is left alone so long, at most a
    minute. A server that fails eight times in a row rests;
    when all of them do for `patience` seconds, the asking ends with an error. Redirects are not followed, and
    proxies are taken from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. Answers are bounded in size and
    time and never trusted. vLLM tells cached tokens if it runs with `--enable-prompt-tokens-details`.

    Args:
        endpoints: Addresses such as `http://127.0.0.1:8000/v1`, all of which serve the same model.
        model: Its name there.
        labels: The two answers.
        mode: `logprobs` takes P(positive) from the first token of each label; `choice` has the server write
            one label, without a probability; `auto` finds out.
        revision: What tells models of the same name apart; goes into the identity.
        api_key_env: Environment variable with the key, sent to every endpoint; none is sent where it is not
            set. The engine does not keep the key.
        concurrency: Requests in flight at each endpoint.
        timeout: Seconds for one request, from the connection to the last byte.
        retries: Attempts after the first; with 12, a server that fails 30 % of requests at random loses one
            prompt in six million.
        waits: Bounds of the first and of the longest wait before another attempt, in seconds.
        rest: Seconds for which an endpoint that fails rests.
        patience: Seconds without any success after which the asking ends.
        extra: Further fields of each request, such as `{"chat_template_kwargs": {"enable_thinking": False}}`.
        seed: Of the waits.

    Raises:
        ConfigError: httpx is not installed, an argument makes no sense, or the key cannot be sent.

    Example:
        >>> engine = ServerEngine(["http://127.0.0.1:8000"], "judge", labels=Labels("positive", "negative"))
        >>> engine
        ServerEngine(['http://127.0.0.1:8000/v1'], 'judge')
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        model: str,
        *,
        labels: Labels,
        mode: Mode | Literal["auto"] = "auto",
        revision: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout: float = 120.0,
        retries: int = 12,
        waits: tuple[float, float] = (0.5, 30.0),
        rest: float = 5.0,
        patience: float = 300.0,
        extra: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        try:
            import httpx  # noqa: F401 - the requests need it
        except ImportError as error:
            raise missing_library("server", "httpx", error) from error
        urls = list(dict.fromkeys(base_url(one) for one in endpoints))
        if not urls:
            raise ConfigError("there is no endpoint", allowed="one or more addresses")
        for name, value, least in (("concurrency", concurrency, 1), ("retries", retries, 0)):
            if value < least:
                raise ConfigError(f"{name} is {value}", allowed=f"{least} or more")
        for name, seconds in (("timeout", timeout), ("rest", rest), ("patience", patience)):
            if not 0 < seconds < float("inf"):
                raise ConfigError(f"{name} is {seconds}", allowed="seconds above 0")
        if mode not in ("auto", "logprobs", "choice"):
            raise ConfigError(f"the mode is {mode!r}", allowed="auto, logprobs, choice")
        api_key(api_key_env)
        self.model = model
        self.labels = labels
        self.mode = mode
        self.revision = revision
        self.extra = dict(extra or {})
        self._sender = Sender(
            urls,
            slots=concurrency,
            key_variable=api_key_env,
            timeout=timeout,
            backoff=Backoff(retries=retries, first=waits[0], most=waits[1], seed=seed),
            rest=rest,
            patience=patience,
        )
        self._servers: list[Server] = []

    def __repr__(self) -> str:
        return f"ServerEngine({self._sender.urls!r}, {self.model!r})"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers, as far as servers tell; see `Engine`.

        Tokenizer, chat template and dtype are the server's and not told: `revision` may name them.
        """
        self.check()
        dialect = self._servers[0].dialect
        return {
            "engine": "server",
            "servers": sorted(
                {f"vllm {one.version}" if one.dialect.vllm else "other" for one in self._servers}
            ),
            "model": self.model,
            "root": sorted({one.root for one in self._servers if one.root is not None}),
            "revision": self.revision,
            "labels": [self.labels.positive, self.labels.negative],
            "mode": dialect.mode,
            "tokens": list(dialect.tokens) if dialect.tokens else None,
            "decoding": dialect.decoding,
        }

    @property
    def failed_attempts(self) -> int:
        """How many attempts failed so far and were made again, or given up in the end."""
        return self._sender.failed_attempts

    @property
    def counts_are_estimates(self) -> bool:
        """Whether `count_tokens` estimates from characters, since the servers do not count."""
        self.check()
        return not self._servers[0].dialect.vllm

    def check(self) -> None:
        """Ask every endpoint one plain question, once; `ask` does so by itself.

        Raises:
            JudgeError: An endpoint cannot be asked, or does not tell the labels apart; says what was seen.
            ConfigError: The endpoints differ in how they must be asked.
        """
        if self._servers or self._sender.stopped:
            return
        urls = self._sender.urls
        found = dict(self._sender.fly(len(urls), self._probe))
        if len(found) < len(urls):  # stopped meanwhile
            return
        first = found[0].dialect
        for place, one in found.items():
            if one.dialect != first:
                ways = ", ".join(
                    f"{urls[at]}: mode {found[at].dialect.mode}, vLLM {found[at].dialect.vllm}, "
                    f"label tokens {found[at].dialect.tokens}"
                    for at in (0, place)
                )
                raise ConfigError(f"the endpoints answer in different ways: {ways}")
        self._servers = [found[place] for place in range(len(urls))]

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Return the length of each prompt in tokens: vLLM counts, for other servers it is an estimate.

        Args:
            prompts: Any number.

        Raises:
            JudgeError: A server does not count although it is vLLM.
        """
        if self.counts_are_estimates:
            return [estimated_tokens(prompt) for prompt in prompts]

        async def count(place: int) -> int:
            body = self._servers[0].dialect.body(prompts[place])
            fields: dict[str, Any] = {
                name: body[name] for name in ("model", "messages", "chat_template_kwargs") if name in body
            }
            try:
                return await self._sender.send(
                    "POST", "/../tokenize", fields, lambda got: read(_Count, got).count
                )
            except (RefusedError, TransientError) as error:
                raise JudgeError(f"a prompt cannot be counted: {error.reason}") from None

        return [tokens for _, tokens in sorted(self._sender.fly(len(prompts), count))]

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (place in `prompts`, what came of it), in the order in which they end.

        After `stop`, after KeyboardInterrupt within, and before an error ends the asking, what is in flight
        ends and is yielded; nothing new is begun. Closing the iterator drops it instead.

        Args:
            prompts: Those of one user side by side.

        Raises:
            JudgeError: The servers cannot be asked: see `check`; 401, 403, 404; all rest for too long.
        """
        self.check()
        if not self._servers:  # stopped before the check was through
            return

        dialect = self._servers[0].dialect

        async def one(place: int) -> Answer | Failure:
            prompt = prompts[place]
            try:
                return await self._sender.send(
                    "POST",
                    "/chat/completions",
                    dialect.body(prompt),
                    lambda body: dialect.answer(prompt, body),
                    group=prompt.user[: prompt.shared] or None,
                )
            except (RefusedError, TransientError) as error:
                return Failure(error.reason)

        yield from self._sender.fly(len(prompts), one)

    def stop(self) -> None:
        """Begin nothing more: `ask` yields what is in flight and ends. Signal handlers may call it.

        What waits for another attempt is not yielded. A stopped engine asks nothing more.
        """
        self._sender.stop()

    def close(self) -> None:
        """Stop; connections are closed when `ask` ends."""
        self.stop()

    async def _probe(self, place: int) -> Server:
        async def send(
            method: str, path: str, body: Mapping[str, Any] | None, reader: Callable[[bytes], T]
        ) -> T:
            return await self._sender.send(method, path, body, reader, only=place, retries=PROBE_RETRIES)

        return await probe(send, self._sender.urls[place], self.model, self.labels, self.mode, self.extra)
