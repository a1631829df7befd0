"""The servers of a job: which of them takes the next request, and which of them rests."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from urllib.parse import urlsplit

from dtlns.errors import ConfigError, JudgeError
from dtlns.judges.llm.engines.remote.retries import Breaker


def base_url(text: str) -> str:
    """Return the address below which a server has `/chat/completions`.

    Args:
        text: As users write it. Where it has no path, `/v1` is meant.

    Raises:
        ConfigError: It is no such address, or holds a password.

    Example:
        >>> base_url("http://127.0.0.1:8000"), base_url("https://example.org/models/v1/")
        ('http://127.0.0.1:8000/v1', 'https://example.org/models/v1')
    """
    allowed = "an address such as http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError("an endpoint is no address", allowed=allowed) from None
    if parts.username or parts.password or parts.query or parts.fragment:  # may be secret: not shown
        raise ConfigError(
            f"the endpoint at {parts.hostname} holds a user, a password or a query",
            allowed=allowed,
            hint="put the key into an environment variable",
        )
    odd = any(not "!" <= character <= "~" for character in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or odd:
        raise ConfigError(f"{text!r} is no endpoint", allowed=allowed)
    path = parts.path.rstrip("/") or "/v1"
    if path.endswith("/completions"):
        raise ConfigError(f"{text!r} is the address of a request", allowed=allowed)
    return f"{parts.scheme}://{parts.netloc}{path}"


GROUPS = 1024  # whose servers are remembered


class Endpoint:
    """One server.

    Attributes:
        url: As by `base_url`.
        slots: Most requests in flight.
        in_flight: Requests in flight.
        trouble: What went wrong last.
    """

    def __init__(self, url: str, slots: int, breaker: Breaker) -> None:
        self.url = url
        self.slots = slots
        self.breaker = breaker
        self.in_flight = 0
        self.trouble = "nothing"
        self._paused_until = -math.inf

    def pause(self, until: float) -> None:
        """Leave the server alone, since it said so."""
        self._paused_until = max(self._paused_until, until)

    def free(self, now: float) -> int:
        """Return how many requests it takes at `now`; one where the breaker lets try."""
        if self.rests_for(now) > 0:
            return 0
        return (self.slots if self.breaker.closed else 1) - self.in_flight

    def rests_for(self, now: float) -> float:
        """Return for how many seconds it takes no request."""
        return max(self.breaker.rests_for(now), self._paused_until - now, 0.0)


class Endpoints:
    """The servers of a job.

    Args:
        all: At least one.
        patience: Seconds that all may fail without one success before the job ends.
    """

    def __init__(self, all: Sequence[Endpoint], patience: float) -> None:
        self.all = list(all)
        self.patience = patience
        self._down_since: float | None = None
        self._turn = 0
        self._home: OrderedDict[str, Endpoint] = OrderedDict()

    def take(self, now: float, *, avoid: Endpoint | None, group: str | None = None) -> Endpoint | None:
        """Return the endpoint with the most free slots, in turn where they tie; None where none is free.

        Requests of one group go to the endpoint that took the first of them, since its cache holds what they
        share; where it is busy, they wait for it.

        Args:
            now: Seconds of a monotonic clock.
            avoid: Not taken, nor one that rests, while another works: a server that fails at once has the
                most free slots.
            group: What the request shares with others.
        """
        home = None if group is None else self._home.get(group)
        if home is not None and home is not avoid and home.breaker.closed and not home.rests_for(now):
            if home.free(now) <= 0:
                return None
            home.in_flight += 1
            return home
        self._turn += 1
        n = len(self.all)
        turn = [self.all[(self._turn + k) % n] for k in range(n)]
        sound = [one for one in turn if one is not avoid and one.breaker.closed]
        best = max(sound if avoid and sound else turn, key=lambda one: one.free(now))
        if best.free(now) <= 0:
            return None
        best.in_flight += 1
        if group is not None and (home is None or not home.breaker.closed):
            self._home[group] = best
            if len(self._home) > GROUPS:
                self._home.popitem(last=False)
        return best

    def wait(self, now: float) -> float:
        """Return the seconds after which to try `take` again."""
        # what is in flight elsewhere may end sooner than the rest of one
        return min(0.1, max(0.005, min(one.rests_for(now) for one in self.all)))

    def succeeded(self, one: Endpoint) -> None:
        """Tell of a request that `one` answered."""
        one.breaker.succeeded()
        self._down_since = None

    def failed(self, one: Endpoint, now: float, reason: str) -> bool:
        """Tell of a request that failed.

        Returns:
            Whether `one` rests from now on and did not before.

        Raises:
            JudgeError: No endpoint has answered for longer than the patience.
        """
        was_closed = one.breaker.closed
        one.breaker.failed(now)
        one.trouble = reason
        if any(other.breaker.closed for other in self.all):
            return was_closed and not one.breaker.closed
        if self._down_since is None:
            self._down_since = now
        elif now - self._down_since >= self.patience:
            seen = "; ".join(f"{other.url}: {other.trouble}" for other in self.all)
            raise JudgeError(
                f"no endpoint has answered for {now - self._down_since:.0f} s: {seen}",
                hint="run the same command again when they do; what was answered is kept",
            )
        return was_closed
