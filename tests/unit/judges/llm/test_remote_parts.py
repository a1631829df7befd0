"""Waits, rests and slots by a clock that the test moves; flights without a server."""

from __future__ import annotations

import asyncio
import statistics
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtlns.errors import JudgeError
from dtlns.judges.llm.engines.remote.endpoints import Endpoint, Endpoints, base_url
from dtlns.judges.llm.engines.remote.exchange import said
from dtlns.judges.llm.engines.remote.flight import Flight
from dtlns.judges.llm.engines.remote.retries import Backoff, Breaker, retry_after

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _endpoint(name: str, slots: int = 2, failures: int = 2) -> Endpoint:
    return Endpoint(name, slots, Breaker(failures=failures, rest=10.0))


def test_waits_are_uniform_below_a_bound_that_doubles() -> None:
    backoff = Backoff(retries=3, first=1.0, most=6.0, seed=1)
    for attempt, bound in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0), (99, 6.0)]:
        waits = [backoff.wait(attempt) for _ in range(2000)]
        assert max(waits) <= bound
        # the mean of 2000 uniform draws: within 5 standard errors of the middle
        assert abs(statistics.mean(waits) - bound / 2) < 5 * bound / (12 * 2000) ** 0.5
    same = [Backoff(retries=3, first=1.0, most=6.0, seed=7).wait(3) for _ in range(2)]
    assert same[0] == same[1]


@given(st.integers(-10_000, 10_000), st.integers(-12, 12))
def test_retry_after_as_a_date_of_any_zone(seconds: int, zone: int) -> None:
    then = (NOON + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=zone)))
    assert retry_after(format_datetime(then), NOON, 60.0) == min(max(seconds, 0), 60)


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_retry_after_reads_anything(text: str) -> None:
    seconds = retry_after(text, NOON, 60.0)
    assert seconds is None or 0 <= seconds <= 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("-3", 0.0), ("1e99", 60.0), ("nan", None), ("inf", 60.0), ("", None), (None, None)],
)
def test_odd_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOON, 60.0) == seconds


def test_a_breaker_opens_tries_and_closes() -> None:
    one = _endpoint("one")
    all_ = Endpoints([one], patience=1000.0)
    assert not all_.failed(one, 0.0, "first")
    assert one.free(0.0) == 2
    assert all_.failed(one, 1.0, "second")
    assert [one.free(now) for now in (1.0, 10.9, 11.0)] == [0, 0, 1]  # one may try
    assert all_.take(11.0, avoid=None) is one
    assert all_.take(11.0, avoid=None) is None
    one.in_flight -= 1
    assert not all_.failed(one, 12.0, "third")  # it rested already
    assert [one.free(now) for now in (21.9, 22.0)] == [0, 1]
    all_.succeeded(one)
    assert one.free(12.0) == 2


def test_slots_go_to_the_freest_and_in_turn() -> None:
    one, two = _endpoint("one", slots=3), _endpoint("two", slots=3)
    all_ = Endpoints([one, two], patience=1.0)
    taken = [all_.take(0.0, avoid=None) for _ in range(7)]
    assert taken.count(one) == taken.count(two) == 3
    assert taken[-1] is None
    assert {taken[0], taken[1]} == {one, two}


def test_another_attempt_avoids_where_it_failed_while_another_works() -> None:
    one, two = _endpoint("one", slots=1), _endpoint("two", slots=1)
    all_ = Endpoints([one, two], patience=1000.0)
    assert all_.take(0.0, avoid=one) is two
    assert all_.take(0.0, avoid=one) is None  # it waits for the sound one
    for now in (0.0, 0.0):
        all_.failed(two, now, "dead")
    assert all_.take(0.0, avoid=one) is one


def test_a_group_stays_with_its_server_and_waits_for_it_until_it_fails() -> None:
    one, two = _endpoint("one", slots=2), _endpoint("two", slots=2)
    all_ = Endpoints([one, two], patience=1000.0)
    home = all_.take(0.0, avoid=None, group="history")
    assert home is not None
    assert all_.take(0.0, avoid=None, group="history") is home
    assert all_.take(0.0, avoid=None, group="history") is None  # busy, and the other would not know it
    other = all_.take(0.0, avoid=None, group="another")
    assert other is not None
    assert other is not home
    home.in_flight = other.in_flight = 0
    assert all_.take(0.0, avoid=home, group="history") is other  # another attempt
    assert all_.take(0.0, avoid=None, group="history") is home
    while home.breaker.closed:
        all_.failed(home, 0.0, "dead")
    assert all_.take(0.0, avoid=None, group="history") is other


def test_a_pause_holds_no_longer_than_told() -> None:
    one = _endpoint("one")
    one.pause(5.0)
    one.pause(3.0)
    assert [one.free(now) for now in (4.9, 5.0)] == [0, 2]
    assert Endpoints([one], patience=1.0).wait(4.99) == pytest.approx(0.01)


def test_patience_ends_and_a_success_restores_it() -> None:
    one, two = _endpoint("one", failures=1), _endpoint("two", failures=1)
    all_ = Endpoints([one, two], patience=100.0)
    all_.failed(one, 0.0, "dead")
    all_.failed(one, 150.0, "dead")  # the other works
    all_.failed(two, 200.0, "busy")
    all_.failed(one, 299.0, "dead")
    all_.succeeded(two)
    all_.failed(two, 300.0, "busy")
    all_.failed(one, 399.0, "dead")
    with pytest.raises(JudgeError, match=r"100 s: one: dead; two: busy"):
        all_.failed(two, 400.0, "busy")


def test_addresses() -> None:
    assert base_url("https://h:8443/") == "https://h:8443/v1"
    assert base_url("http://[::1]:80/api/v1/") == "http://[::1]:80/api/v1"


@given(st.binary(max_size=400), st.sampled_from(["abcd1234", "\\x41key"]))
def test_what_a_server_said_is_short_printable_and_without_the_key(body: bytes, key: str) -> None:
    text = said(key.encode() + body + key.encode() * 100, key)
    assert len(text) <= 203
    assert text.isprintable()
    assert text.isascii()
    assert key not in text


def test_a_flight_that_fails_yields_what_was_in_work() -> None:
    begun: set[int] = set()

    async def work(place: int) -> int:
        begun.add(place)
        if place == 1:
            while len(begun) < 4:
                await asyncio.sleep(0)
            raise JudgeError("no more")
        await asyncio.sleep(0.1)
        return place * place

    got: list[tuple[int, int]] = []
    with pytest.raises(JudgeError, match="no more"):  # noqa: PT012
        for one in Flight(9, 4, work).results():
            got.append(one)  # noqa: PERF402
    assert sorted(got) == [(0, 0), (2, 4), (3, 9)]


@pytest.mark.parametrize(("n", "width"), [(0, 3), (1, 3), (50, 1), (300, 7)])
def test_a_flight_ends_at_every_place_once(n: int, width: int) -> None:
    at_work = most = 0

    async def work(place: int) -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return -place

    assert sorted(Flight(n, width, work).results()) == [(place, -place) for place in range(n)]
    assert most <= width


def test_a_flight_that_was_stopped_before_begins_nothing() -> None:
    async def work(place: int) -> int:
        raise AssertionError(place)

    flight = Flight(5, 2, work)
    flight.stop()
    assert list(flight.results()) == []
