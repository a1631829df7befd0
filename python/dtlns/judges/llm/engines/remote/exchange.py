"""One request to a server that is not trusted: bounded in bytes and in time, its status told apart."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dtlns.errors import ConfigError, JudgeError
from dtlns.judges.llm.engines.remote.retries import retry_after

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 2**20  # an answer has some 3 kB
MOST_RETRY_AFTER = 60.0  # seconds
SHOWN = 200  # characters of what a server said


class TransientError(Exception):
    """An attempt failed that may succeed when made again.

    Args:
        reason: For people.
        after: Seconds that the server wants to be left alone.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class RefusedError(Exception):
    """The server will not answer this request, however often it is made."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotThereError(JudgeError):
    """The server has no such address, or no such model."""


@dataclass(frozen=True)
class Reply:
    """What came back: status, whole body, and the seconds to wait that it asks for."""

    status: int
    body: bytes
    after: float | None


def api_key(variable: str | None) -> str | None:
    """Return the key in an environment variable, or None where it has none.

    Raises:
        ConfigError: It cannot be sent in a header; the message does not show it.
    """
    key = os.environ.get(variable) if variable else None
    if not key:
        return None
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"the key in {variable} holds a blank, a line end or a character that no HTTP header may hold"
        )
    return key


@functools.cache
def _certificates() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()  # slow to read


def client(key: str | None, timeout: float) -> httpx.AsyncClient:
    """Return a client that follows no redirect; proxies are those of HTTP_PROXY, HTTPS_PROXY, NO_PROXY."""
    import httpx

    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "dtlns"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        verify=_certificates(),
        headers=headers,
        timeout=httpx.Timeout(timeout, pool=None),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        follow_redirects=False,
    )


async def exchange(
    http: httpx.AsyncClient, method: str, url: str, body: Mapping[str, Any] | None, timeout: float
) -> Reply:
    """Send one request and read all that comes back.

    Args:
        http: Of `client`.
        method: `GET` or `POST`.
        url: Whole address.
        body: Sent as JSON.
        timeout: Seconds for all of it, from the connection to the last byte.

    Raises:
        TransientError: No connection, it broke off or took too long, or the body exceeds `MOST_BYTES`.
    """
    import httpx

    content = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    received = bytearray()
    try:
        async with (
            asyncio.timeout(timeout),  # httpx bounds each read; a drip would never end
            http.stream(method, url, content=content, headers=headers) as response,
        ):
            # raw: a small compressed body cannot become a huge one
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > MOST_BYTES:
                    raise TransientError(f"the body is larger than {MOST_BYTES} bytes")
    except (TimeoutError, httpx.TimeoutException):
        raise TransientError(f"no whole answer within {timeout:g} s") from None
    except httpx.TransportError as error:
        raise TransientError(f"the connection failed: {type(error).__name__}") from None
    after = retry_after(response.headers.get("Retry-After"), datetime.now(UTC), MOST_RETRY_AFTER)
    return Reply(response.status_code, bytes(received), after)


def accept(reply: Reply, url: str, key: str | None) -> bytes:
    """Return the body of an answer.

    Raises:
        TransientError: 408, 425, 429, 5xx.
        RefusedError: The server refuses this request: any other 4xx.
        JudgeError: It refuses all: 401, 403, 404 (`NotThereError`), a redirect.
    """
    status = reply.status
    if status == 200:
        return reply.body
    if status in (408, 425, 429) or not 300 <= status < 500:
        raise TransientError(f"the server said {status}", reply.after)
    if status in (401, 403):  # its text may hold parts of the key
        raise JudgeError(f"{url} says {status}: the key is missing or not accepted")
    if status == 404:
        raise NotThereError(
            f"{url} says 404: {said(reply.body, key)}", hint="check the endpoint and the model"
        )
    if status < 400:
        raise JudgeError(
            f"{url} says {status}: redirects are not followed", hint="give the endpoint it stands for"
        )
    raise RefusedError(f"the server said {status}: {said(reply.body, key)}")


def said(body: bytes, key: str | None) -> str:
    """Return the beginning of a body for a message: one line, nothing unprintable, no key."""
    text = body.decode("utf-8", "replace")
    if key:
        text = text.replace(key, "[key]")
    text = text.encode("unicode_escape").decode("ascii")
    return text[:SHOWN] + ("..." if len(text) > SHOWN else "")
