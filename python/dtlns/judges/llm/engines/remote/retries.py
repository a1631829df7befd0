"""When to ask again: exponential backoff with full jitter, `Retry-After`, and a circuit breaker."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Backoff:
    """How long to wait before another attempt: uniform between 0 and a bound that doubles ("full jitter").

    Args:
        retries: Attempts after the first.
        first: Bound of the first wait, in seconds.
        most: Largest bound, in seconds.
        seed: Of the waits.

    Example:
        >>> backoff = Backoff(retries=3, first=1.0, most=5.0, seed=0)
        >>> [0 <= backoff.wait(n) <= bound for n, bound in [(1, 1), (2, 2), (3, 4), (4, 5), (5000, 5)]]
        [True, True, True, True, True]
    """

    def __init__(self, *, retries: int, first: float, most: float, seed: int) -> None:
        self.retries = retries
        self.first = first
        self.most = most
        self._random = random.Random(seed)

    def wait(self, attempt: int) -> float:
        """Return the seconds to wait after attempt `attempt`, the first being 1, has failed."""
        doublings = min(attempt - 1, 64)  # 2.0 ** 5000 is an overflow
        return self._random.uniform(0.0, min(self.most, self.first * 2.0**doublings))


def retry_after(value: str | None, now: datetime, most: float) -> float | None:
    """Read the HTTP header `Retry-After` (RFC 9110, section 10.2.3).

    Args:
        value: Seconds or an HTTP date; anything else is as good as no header.
        now: With a time zone.
        most: Longest wait in seconds; what is longer is cut.

    Returns:
        Seconds from now, between 0 and `most`, or None where the header says nothing.

    Example:
        >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        >>> retry_after("7", noon, 60.0), retry_after("Sun, 01 Mar 2026 12:00:30 GMT", noon, 60.0)
        (7.0, 30.0)
        >>> retry_after("86400", noon, 60.0), retry_after("soon", noon, 60.0)
        (60.0, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), most)


class Breaker:
    """Lets a server rest after failures in a row, then lets one request try.

    Closed, it lets everything through. After `failures` in a row it opens: nothing goes through for `rest`
    seconds, then the owner may try; a success closes it, another failure lets it rest again.

    Args:
        failures: In a row, that open it.
        rest: Seconds.

    Example:
        >>> breaker = Breaker(failures=2, rest=10.0)
        >>> breaker.failed(now=0.0); breaker.failed(now=1.0); breaker.closed, breaker.rests_for(now=4.0)
        (False, 7.0)
        >>> breaker.succeeded(); breaker.closed, breaker.rests_for(now=4.0)
        (True, 0.0)
    """

    def __init__(self, *, failures: int, rest: float) -> None:
        self.failures = failures
        self.rest = rest
        self._in_a_row = 0
        self._until = -math.inf

    @property
    def closed(self) -> bool:
        """Whether requests pass as they come."""
        return self._in_a_row < self.failures

    def rests_for(self, now: float) -> float:
        """Return how many seconds the rest still takes; 0 where a request may pass."""
        return 0.0 if self.closed else max(0.0, self._until - now)

    def succeeded(self) -> None:
        """Tell of a request that the server answered."""
        self._in_a_row = 0

    def failed(self, now: float) -> None:
        """Tell of a request that failed at `now`, in seconds of a monotonic clock."""
        self._in_a_row += 1
        if not self.closed:
            self._until = now + self.rest
