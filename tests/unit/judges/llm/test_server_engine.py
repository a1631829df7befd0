"""An engine on servers, against a fake one that misbehaves in every way that was thought of."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import random
import re
import signal
import socket
import threading
import time
from typing import Any

import pytest
from fake_server import FakeServer, Handler, log_odds

from dtlns.errors import ConfigError, JudgeError
from dtlns.judges.llm.base import Answer, Failure, Labels, Prompt
from dtlns.judges.llm.engines.server import ServerEngine

KEY = "sk-very-secret-0123456789"
LABELS = Labels("positive", "negative")
PROMPTS = [Prompt("the rules", f"user {k // 5}, candidate {k}") for k in range(40)]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def _engine(*servers: FakeServer | str, **options: Any) -> ServerEngine:
    urls = [one if isinstance(one, str) else one.url for one in servers]
    quick = {"waits": (0.001, 0.01), "rest": 0.01, "patience": 30.0, "timeout": 30.0} | options
    return ServerEngine(urls, "judge", labels=LABELS, **quick)


def _failures(fault: Any, n: int = 1, **options: Any) -> tuple[list[str], ServerEngine]:
    """Ask n prompts of a server that always fails in one way; return the reasons."""
    with FakeServer(fault) as server:
        engine = _engine(server, **({"retries": 2} | options))
        ended = dict(engine.ask(PROMPTS[:n]))
    assert sorted(ended) == list(range(n))
    assert all(isinstance(one, Failure) for one in ended.values())
    return [one.reason for one in ended.values() if isinstance(one, Failure)], engine


def _assert_right(ended: dict[int, Answer | Failure], n: int = len(PROMPTS)) -> None:
    assert sorted(ended) == list(range(n))
    for place, one in ended.items():
        assert isinstance(one, Answer), one
        assert one.log_odds == pytest.approx(log_odds(PROMPTS[place].user), abs=1e-9)
        assert one.scored


@pytest.mark.parametrize("kind", ["plain", "vllm"])
def test_log_probabilities_become_log_odds(kind: str) -> None:
    with FakeServer(kind=kind) as server:
        engine = _engine(server)
        ended = dict(engine.ask(PROMPTS))
        _assert_right(ended)
        assert ended[7] == Answer(log_odds(PROMPTS[7].user), True, len(PROMPTS[7].user), 3)
        request = server.seen[0]
        assert (request["temperature"], request["max_tokens"], request["top_logprobs"]) == (0, 1, 20)
        assert ("structured_outputs" in request) == (kind == "vllm")
        assert engine.identity["tokens"] == ["positive", "negative"]
        assert engine.identity["servers"] == (["vllm 0.1.2"] if kind == "vllm" else ["other"])
        assert server.url not in json.dumps(engine.identity)


def test_the_longest_token_of_a_label_is_scored_and_must_be_there() -> None:
    with FakeServer() as server:
        server.top = [
            {"token": token, "logprob": lp}
            for token, lp in [
                ("po", -1.0),
                ("p", -0.5),
                ("neg", -2.0),
                ("positively", -3.0),
                ("n", -float("inf")),
            ]
        ]
        engine = _engine(server)
        assert engine.identity["tokens"] == ["po", "neg"]
        ((_, one),) = engine.ask(PROMPTS[:1])
        assert isinstance(one, Answer)
        assert one.log_odds == pytest.approx(1.0)
        server.top = server.top[:2]
        ((_, one),) = engine.ask(PROMPTS[:1])
        assert isinstance(one, Failure)
        assert "'neg'" in one.reason
        assert "'p' -0.50, 'po' -1.00" in one.reason


def test_vllm_tells_how_its_tokenizer_begins_the_labels() -> None:
    with FakeServer(kind="vllm") as server:
        server.pieces = {"positive": ["▁pos", "itive"], "negative": ["▁negative"]}
        engine = _engine(server)
        assert engine.identity["tokens"] == ["pos", "negative"]
        ((_, one),) = engine.ask(PROMPTS[:1])
        assert isinstance(one, Answer)
        assert one.log_odds == pytest.approx(log_odds(PROMPTS[0].user) - 5)  # as the fake spreads its mass
        server.pieces = {"positive": ["x", "positive"], "negative": ["x", "negative"]}  # not to be believed
        assert _engine(server).identity["tokens"] == ["positive", "negative"]
        server.pieces = {"positive": ["po"], "negative": ["n"]}
        with pytest.raises(JudgeError, match=r"label token 'po' is not among"):
            _engine(server, mode="logprobs").check()
    with FakeServer(kind="vllm") as server:
        server.pieces = {"po": ["p", "o"], "pi": ["p", "i"]}
        engine = ServerEngine([server.url], "judge", labels=Labels("po", "pi"), mode="logprobs")
        with pytest.raises(JudgeError, match="both labels begin with the token 'p'"):
            engine.check()


def test_without_log_probabilities_the_server_writes_a_label(caplog: pytest.LogCaptureFixture) -> None:
    with FakeServer(kind="labels") as server:
        engine = _engine(server)
        ended = dict(engine.ask(PROMPTS))
        for place, one in ended.items():
            assert isinstance(one, Answer)
            assert (one.log_odds, one.scored) == (-1.0 if log_odds(PROMPTS[place].user) < 0 else 1.0, False)
        schema = server.seen[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["answer"]["enum"] == ["positive", "negative"]
        assert "without probabilities" in caplog.text
        assert engine.identity["mode"] == "choice"
        for content in ("maybe", '{"answer": "maybe"}', '{"answer": ["positive"]}', "[" * 9000):
            server.content = content
            ((_, one),) = engine.ask(PROMPTS[:1])
            assert isinstance(one, Failure)
            assert "neither label" in one.reason or "not the JSON" in one.reason
            assert len(one.reason) < 200
        with pytest.raises(JudgeError, match="no log-probabilities"):
            _engine(server, mode="logprobs").check()


def test_a_model_that_names_no_label_is_refused_with_what_was_seen() -> None:
    with FakeServer() as server:
        server.top = [{"token": "<think>", "logprob": -0.01}, {"token": "\x1b[2J", "logprob": -5.0}]
        with pytest.raises(JudgeError, match=r"<think>' -0\.01") as caught:
            _engine(server, mode="logprobs").check()
        assert "\x1b" not in str(caught.value)


def test_a_server_that_fails_30_percent_costs_retries_and_no_pair() -> None:
    chance = random.Random(5)
    with FakeServer(lambda number, handler: chance.random() < 0.3 and handler.send({}, 500)) as server:
        engine = _engine(server)
        _assert_right(dict(engine.ask(PROMPTS)))
        assert engine.failed_attempts == len(server.seen) - len(PROMPTS)
        assert engine.failed_attempts > 5


@pytest.mark.parametrize("what", ["drop", "garbage", "503"])
def test_faults_that_pass_cost_an_attempt_each(what: str) -> None:
    def fault(number: int, handler: Handler) -> bool:
        if number % 4 != 1:
            return False
        return {"drop": handler.drop, "garbage": lambda: handler.send(b"\xff\x00 no JSON")}.get(
            what, lambda: handler.send({}, 503)
        )()

    with FakeServer(fault) as server:
        engine = _engine(server)
        _assert_right(dict(engine.ask(PROMPTS)))
        assert engine.failed_attempts == len(server.seen) - len(PROMPTS) > 9


def test_a_server_is_left_alone_for_as_long_as_it_says() -> None:
    with FakeServer(
        lambda number, handler: number == 0 and handler.send({}, 429, Retry_After="0.5")
    ) as server:
        engine = _engine(server, concurrency=1)
        _assert_right(dict(engine.ask(PROMPTS[:5])), 5)
        assert server.times[1] - server.times[0] >= 0.5


def _logprob(text: str) -> bytes:
    top = f'[{{"token": "positive", "logprob": {text}}}, {{"token": "negative", "logprob": -1}}]'
    content = f'[{{"token": "positive", "logprob": -1, "top_logprobs": {top}}}]'
    return f'{{"choices": [{{"index": 0, "message": {{}}, "logprobs": {{"content": {content}}}}}]}}'.encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "wrong shape"),
        (b"<html>", "wrong shape"),
        (b"[" * 100_000, "wrong shape"),
        ({"choices": []}, "choices"),
        ({"error": {"message": "out of memory"}}, "choices"),
        ({"choices": [{"index": 1, "message": {}}]}, r"choices\.0\.index"),
        ({"choices": [{"index": 0, "message": {}}]}, "no log-probabilities"),
        ({"choices": [{"index": 0, "message": {}, "logprobs": {"content": [[]]}}]}, "content"),
        (_logprob("NaN"), "logprob"),
        (_logprob("0.5"), "logprob"),
        (_logprob("Infinity"), "logprob"),
        (_logprob("null"), "logprob"),
        (_logprob("-Infinity"), "label token 'positive' is not among"),
        (b'{"choices": "' + b"x" * 2**20 + b'"}', "larger than 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else "",
)
def test_what_is_no_answer_is_a_failure(body: Any, reason: str) -> None:
    (said,), _ = _failures(lambda number, handler: handler.send(body))
    assert re.search(reason, said), said
    assert len(said) < 300


def test_a_stream_without_an_end_is_cut_by_size_or_time() -> None:
    (said,), _ = _failures(lambda number, handler: handler.stream_for_ever(b"x" * 65536), retries=1)
    assert "larger than" in said
    began = time.monotonic()
    (said,), _ = _failures(
        lambda number, handler: handler.stream_for_ever(b" ", 0.02), retries=1, timeout=0.4
    )
    assert said == "no whole answer within 0.4 s, after 2 attempts"
    assert time.monotonic() - began < 20


def test_a_compressed_body_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 50_000_000, 9)
    (said,), _ = _failures(lambda number, handler: handler.send(bomb, Content_Encoding="gzip"), retries=0)
    assert "wrong shape" in said


def test_a_refused_prompt_is_a_failure_and_the_others_go_on() -> None:
    def fault(number: int, handler: Handler) -> bool:
        return "candidate 3" in handler.fake.seen[number]["messages"][1]["content"].split(",")[
            1
        ] and handler.send({"message": "too long\x1b"}, 400)

    with FakeServer(fault) as server:
        engine = _engine(server, concurrency=1)
        ended = dict(engine.ask(PROMPTS[:5]))
        assert len(server.seen) == 5  # no second attempt
    assert [place for place, one in ended.items() if isinstance(one, Failure)] == [3]
    failure = ended[3]
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("the server said 400: ")
    assert "too long" in failure.reason
    assert "\x1b" not in failure.reason


@pytest.mark.parametrize(("status", "hint"), [(401, "key"), (403, "key"), (404, "model"), (302, "redirect")])
def test_what_concerns_all_prompts_ends_the_asking_and_keeps_what_was_yielded(status: int, hint: str) -> None:
    with (
        FakeServer() as other,
        FakeServer(
            lambda number, handler: number >= 6 and handler.send({}, status, Location=other.url)
        ) as server,
    ):
        got: list[int] = []
        with pytest.raises(JudgeError, match=hint):  # noqa: PT012
            for place, one in _engine(server, concurrency=2).ask(PROMPTS):
                assert isinstance(one, Answer)
                got.append(place)
        assert len(got) == 6
        assert not other.seen


def test_keys_are_sent_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    texts: list[str] = []
    with FakeServer(
        lambda number, handler: number > 2 and handler.send({"you sent": KEY * 50}, 400), key=KEY
    ) as server:
        engine = _engine(server, api_key_env="MY_KEY", concurrency=1)
        ended = dict(engine.ask(PROMPTS[:6]))
        assert sum(isinstance(one, Answer) for one in ended.values()) == 3
        texts += [repr(ended), repr(engine), json.dumps(engine.identity), repr(vars(engine))]
        texts += [repr(vars(engine._sender))]
        server.key = "sk-another"
        with pytest.raises(JudgeError, match="401") as caught:
            list(engine.ask(PROMPTS[:1]))
        texts += [str(caught.value), caplog.text]
    with FakeServer(key=KEY) as server, pytest.raises(JudgeError, match=r"401.*not accepted"):
        _engine(server).check()
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    with pytest.raises(ConfigError, match="MY_KEY") as unfit:
        _engine("http://127.0.0.1:9", api_key_env="MY_KEY")
    texts.append(str(unfit.value))
    with pytest.raises(ConfigError) as unfit:
        _engine(f"http://me:{KEY}@127.0.0.1:9/v1")
    texts.append(str(unfit.value))
    assert not any(KEY[:12] in text for text in texts)


def test_several_endpoints_share_the_work_and_one_may_die() -> None:
    with (
        FakeServer(lambda number, handler: time.sleep(0.01) or False) as one,
        FakeServer(lambda number, handler: number >= 5 and handler.drop()) as two,
    ):
        _assert_right(dict(_engine(one, two, concurrency=3).ask(PROMPTS)))
        assert one.seen
        assert len(two.seen) >= 5
        assert one.most_at_once <= 3
        assert two.most_at_once <= 3


def test_all_prompts_of_a_user_go_to_one_endpoint_and_all_endpoints_work() -> None:
    prompts = [
        Prompt("the rules", f"history of {k // 10}; candidate {k}", shared=len(f"history of {k // 10};"))
        for k in range(200)
    ]

    def slow(number: int, handler: Handler) -> bool:
        time.sleep(0.005)
        return False

    with FakeServer(slow) as one, FakeServer(slow) as two:
        assert len(dict(_engine(one, two, concurrency=4).ask(prompts))) == len(prompts)
        told = [
            {
                text.split(";")[0]
                for seen in server.seen
                if "history" in (text := seen["messages"][-1]["content"])
            }
            for server in (one, two)
        ]
        assert not told[0] & told[1]
        assert min(map(len, told)) >= 5


def test_endpoints_that_answer_differently_are_refused() -> None:
    with (
        FakeServer() as one,
        FakeServer(kind="labels") as two,
        pytest.raises(ConfigError, match="mode choice"),
    ):
        _engine(one, two).check()


def test_requests_are_in_flight_at_once() -> None:
    gate = threading.Barrier(4)
    with FakeServer(lambda number, handler: number < 4 and gate.wait(20) < 0) as server:
        _assert_right(dict(_engine(server, concurrency=4).ask(PROMPTS)))
        assert server.most_at_once == 4


def test_when_all_endpoints_fail_for_long_the_asking_ends() -> None:
    with FakeServer(lambda number, handler: number >= 5 and handler.send({}, 502)) as server:
        engine = _engine(server, concurrency=1, retries=1000, patience=0.3)
        got = []
        with pytest.raises(JudgeError, match=r"no endpoint has answered.*502"):  # noqa: PT012
            for place, _ in engine.ask(PROMPTS):
                got.append(place)
        assert got == [0, 1, 2, 3, 4]


def test_no_server_is_a_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(JudgeError, match="cannot be asked: the connection failed: ConnectError"):
        _engine(f"http://127.0.0.1:{port}").check()


def test_stop_yields_what_is_in_flight_and_begins_nothing() -> None:
    gate = threading.Event()
    with FakeServer(lambda number, handler: number >= 3 and not gate.wait(20)) as server:
        engine = _engine(server, concurrency=3)
        asked = engine.ask(PROMPTS)
        ended = dict(itertools.islice(asked, 3))
        while len(server.seen) < 6:
            time.sleep(0.002)
        engine.stop()
        gate.set()
        ended |= dict(asked)
        _assert_right(ended, 6)
        assert len(server.seen) == 6
        assert list(engine.ask(PROMPTS)) == []


def test_ctrl_c_while_waiting_yields_what_is_in_flight_and_is_raised_then() -> None:
    def fault(number: int, handler: Handler) -> bool:
        if number == 5:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return False

    with FakeServer(fault) as server:
        ended = {}
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            for place, one in _engine(server, concurrency=2).ask(PROMPTS):
                ended[place] = one  # noqa: PERF403
        assert len(ended) >= 6
        assert len(ended) < len(PROMPTS)
        assert sorted(ended) == list(range(len(ended)))


def test_closing_the_iterator_drops_what_is_in_flight_at_once() -> None:
    with FakeServer(lambda number, handler: number >= 2 and not handler.fake.released.wait(20)) as server:
        asked = _engine(server, concurrency=2).ask(PROMPTS)
        next(asked)
        began = time.monotonic()
        asked.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 5
        assert not any(thread.name == "dtlns-flight" for thread in threading.enumerate())
        assert len(server.seen) <= 4


def test_a_slow_consumer_holds_the_asking_back() -> None:
    with FakeServer() as server:
        asked = _engine(server, concurrency=2).ask(PROMPTS)
        next(asked)
        time.sleep(0.3)
        assert len(server.seen) <= 5  # one taken and twice the width ahead
        assert len(list(asked)) == len(PROMPTS) - 1


def test_vllm_counts_tokens_and_others_are_estimated() -> None:
    prompts = [Prompt("a" * 5, "b" * (30 - k)) for k in range(9)]
    with FakeServer(kind="vllm") as server:
        engine = _engine(server)
        assert not engine.counts_are_estimates
        assert engine.count_tokens(prompts) == [35 - k for k in range(9)]
        assert not server.seen
    with FakeServer() as server:
        engine = _engine(server)
        assert engine.counts_are_estimates
        assert engine.count_tokens(prompts)[0] == 10


@pytest.mark.parametrize(
    "options",
    [{"concurrency": 0}, {"retries": -1}, {"timeout": 0.0}, {"mode": "guess"}, {"patience": float("nan")}],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        _engine("http://127.0.0.1:9", **options)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://h:99999/v1",
        "http://h/v1/chat/completions",
        "http://h/v1?key=1",
        "http://a b/v1",
        "http://[::1/v1",
    ],
)
def test_addresses_are_checked(url: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoint|address"):
        _engine(url)
    with pytest.raises(ConfigError, match="no endpoint"):
        ServerEngine([], "judge", labels=LABELS)
