"""Sends requests to several servers until each has an answer: slots, attempts, rests."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dtlns.judges.llm.engines.remote.endpoints import Endpoint, Endpoints
from dtlns.judges.llm.engines.remote.exchange import (
    RefusedError,
    TransientError,
    accept,
    api_key,
    client,
    exchange,
)
from dtlns.judges.llm.engines.remote.flight import Flight
from dtlns.judges.llm.engines.remote.retries import Backoff, Breaker

log = logging.getLogger(__name__)
T = TypeVar("T")
FAILURES_IN_A_ROW = 8


class StoppedError(Exception):
    """The request was given up between two attempts, since all is to end."""


class Sender:
    """What all requests of an engine share.

    Args:
        urls: Of the servers, as by `base_url`.
        slots: Requests in flight at each.
        key_variable: Environment variable with the key; the key itself is held for a flight only.
        timeout: Seconds for one attempt.
        backoff: Waits between attempts.
        rest: Seconds for which a server that fails rests.
        patience: Seconds for which all may fail.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        slots: int,
        key_variable: str | None,
        timeout: float,
        backoff: Backoff,
        rest: float,
        patience: float,
    ) -> None:
        self.urls = list(urls)
        self.failed_attempts = 0
        self.stopped = False
        self._key_variable = key_variable
        self._timeout = timeout
        self._backoff = backoff
        self._patience = patience
        # what waits for its own server must not keep others from theirs
        self._width = slots * len(self.urls) * (1 if len(self.urls) == 1 else 2)
        all = [Endpoint(url, slots, Breaker(failures=FAILURES_IN_A_ROW, rest=rest)) for url in self.urls]
        self._endpoints = Endpoints(all, patience)
        self._flight: Flight[Any] | None = None

    def fly(self, n: int, work: Callable[[int], Awaitable[T]]) -> Iterator[tuple[int, T]]:
        """Yield (place, what `work` makes of it) for places 0..n-1; see `Flight`. `work` calls `send`."""

        async def until_stopped(place: int) -> T | None:
            with contextlib.suppress(StoppedError):
                return await work(place)
            return None

        self._flight = flight = Flight(n, self._width, until_stopped, self._session)
        if self.stopped:
            flight.stop()
        yield from flight.results()

    def stop(self) -> None:
        """End the flight, and begin none; see `Flight.stop`."""
        self.stopped = True
        if self._flight is not None:
            self._flight.stop()

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        reader: Callable[[bytes], T],
        *,
        only: int | None = None,
        retries: int | None = None,
        group: str | None = None,
    ) -> T:
        """Make attempts until one is read; within `fly`.

        Args:
            method: `GET` or `POST`.
            path: Below the address of a server; one that begins with `/../` is beside its last part.
            body: Sent as JSON.
            reader: Makes the result of the bytes of an answer; raises TransientError or RefusedError.
            only: Place of the one server to ask.
            retries: Instead of those of the backoff.
            group: What the request shares with others, which go to one server; see `Endpoints.take`.

        Raises:
            TransientError: The last attempt failed like the others.
            RefusedError: An attempt was refused.
            StoppedError: The flight stops.
            JudgeError: No server will answer.
        """
        flight, endpoints = self._flight, self._endpoints
        assert flight is not None
        if only is not None:
            endpoints = Endpoints([self._endpoints.all[only]], self._patience)
        retries = self._backoff.retries if retries is None else retries
        last: Endpoint | None = None
        for attempt in itertools.count(1):
            while (endpoint := endpoints.take(time.monotonic(), avoid=last, group=group)) is None:
                if await flight.pause(endpoints.wait(time.monotonic())):
                    raise StoppedError
            try:
                result = reader(await self._once(endpoint.url, method, path, body))
            except RefusedError:
                endpoints.succeeded(endpoint)
                raise
            except TransientError as trouble:
                self._note(endpoints, endpoint, trouble)
                if attempt > retries:
                    raise TransientError(f"{trouble.reason}, after {attempt} attempts") from None
            else:
                endpoints.succeeded(endpoint)
                return result
            finally:
                endpoint.in_flight -= 1
            last = endpoint
            if await flight.pause(self._backoff.wait(attempt)):
                raise StoppedError
        raise AssertionError("unreachable")

    async def _once(self, base: str, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        if path.startswith("/../"):
            base, path = base.rpartition("/")[0], path.removeprefix("/..")
        reply = await exchange(self._http, method, base + path, body, self._timeout)
        return accept(reply, base + path, self._key)

    def _note(self, endpoints: Endpoints, endpoint: Endpoint, trouble: TransientError) -> None:
        self.failed_attempts += 1
        now = time.monotonic()
        if trouble.after is not None:
            endpoint.pause(now + trouble.after)
        if endpoints.failed(endpoint, now, trouble.reason):
            log.warning("%s rests: %s", endpoint.url, trouble.reason)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[None]:
        self._key = api_key(self._key_variable)
        try:
            async with client(self._key, self._timeout) as self._http:
                yield
        finally:
            self._key = None
