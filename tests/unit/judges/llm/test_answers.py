"""Stored answers and the job that fills them."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from dtlns.errors import ArtifactError, JudgeError
from dtlns.judges.llm.answers import AnswerStore, missing, prompt_key
from dtlns.judges.llm.base import Answer, Failure, Prompt
from dtlns.judges.llm.job import ask_all
from dtlns.judges.llm.lazy import PAIRS_PER_BLOCK, PromptList

PROMPTS = [Prompt("rules", f"user {at // 4}, item {at}") for at in range(20)]


class Lengths:
    """Answers with the length of the prompt; fails where it is told to."""

    identity = {"engine": "lengths"}  # noqa: RUF012

    def __init__(self, failing: Sequence[str] = (), seconds: float = 0.0) -> None:
        self.failing, self.seconds, self.asked = failing, seconds, list[Prompt]()

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(prompt.user) for prompt in prompts]

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
        for at, prompt in reversed(list(enumerate(prompts))):  # answers come in any order
            time.sleep(self.seconds)
            self.asked.append(prompt)
            if prompt.user in self.failing:
                yield at, Failure("HTTP 500")
            else:
                yield at, Answer(value(prompt), True, 10, 8)

    def close(self) -> None:
        """Nothing is held."""


def value(prompt: Prompt) -> float:
    return float(prompt.user.rsplit(" ", 1)[1]) / 7


def test_answers_belong_to_their_prompts_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    engine = Lengths()
    answers, cost = ask_all(engine, AnswerStore(tmp_path, engine.identity), PROMPTS[:8] + PROMPTS[:4])
    assert [answer.log_odds for answer in answers] == [value(prompt) for prompt in PROMPTS[:8] + PROMPTS[:4]]
    assert (cost.pairs, cost.asked, cost.prompt_tokens, cost.computed_tokens) == (12, 8, 80, 16)

    again = Lengths()
    answers, cost = ask_all(again, AnswerStore(tmp_path, engine.identity), PROMPTS)
    assert [answer.log_odds for answer in answers] == [value(prompt) for prompt in PROMPTS]
    assert sorted(prompt.user for prompt in again.asked) == sorted(prompt.user for prompt in PROMPTS[8:])


def test_another_engine_has_answers_of_its_own(tmp_path: Path) -> None:
    ask_all(Lengths(), AnswerStore(tmp_path, {"dtype": "float32"}), PROMPTS)
    assert AnswerStore(tmp_path, {"dtype": "float32"}).load().keys() == {prompt_key(p) for p in PROMPTS}
    assert AnswerStore(tmp_path, {"dtype": "bfloat16"}).load() == {}


def test_a_prompt_without_an_answer_stops_no_other_and_is_no_silent_label(tmp_path: Path) -> None:
    failing = [PROMPTS[3].user, PROMPTS[5].user]
    store = AnswerStore(tmp_path, Lengths.identity)
    with pytest.raises(
        JudgeError, match=r"2 of 20 prompts have no answer: 2 x HTTP 500.*run the same command"
    ):
        ask_all(Lengths(failing), store, PROMPTS)
    assert len(store.load()) == 18
    healed = Lengths()
    answers, _ = ask_all(healed, store, PROMPTS)
    assert sorted(prompt.user for prompt in healed.asked) == sorted(failing)
    assert [answer.log_odds for answer in answers] == [value(prompt) for prompt in PROMPTS]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, Lengths.identity)
    ask_all(Lengths(), store, PROMPTS)
    (part,) = store.path.glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=rf"{part.name} is damaged.*delete this file"):
        store.load()


def test_missing_names_each_key_once() -> None:
    assert missing(["b", "a", "a", "b"], {}) == [0, 1]


def test_ctrl_c_keeps_what_was_answered(tmp_path: Path) -> None:
    engine, store = Lengths(seconds=0.02), AnswerStore(tmp_path, Lengths.identity)
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        ask_all(engine, store, PROMPTS)
    assert signal.getsignal(signal.SIGINT) is before
    known = store.load()
    assert 0 < len(engine.asked) < len(PROMPTS)
    assert known.keys() == {prompt_key(prompt) for prompt in engine.asked}


@pytest.mark.parametrize("told", [True, False])
def test_an_engine_that_dies_of_the_same_ctrl_c_ends_the_job_as_any_other(tmp_path: Path, told: bool) -> None:
    class Dying(Lengths):
        def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
            yield from [(at, Answer(value(prompts[at]), True, 10, 8)) for at in range(3)]
            if told:
                os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("the engine is dead")

    store = AnswerStore(tmp_path, Lengths.identity)
    with pytest.raises(KeyboardInterrupt if told else RuntimeError):
        ask_all(Dying(), store, PROMPTS)
    assert store.load().keys() == {prompt_key(prompt) for prompt in PROMPTS[:3]}


def _slowly(folder: Path) -> None:
    from dtlns.judges.llm import answers

    answers.SECONDS_PER_PART = 0.05
    engine = Lengths(seconds=0.02)
    ask_all(engine, AnswerStore(folder, engine.identity), PROMPTS * 1)


def test_five_kills_lose_no_pair_and_change_no_answer(tmp_path: Path) -> None:
    for _ in range(5):
        job: Any = mp.get_context("spawn").Process(target=_slowly, args=(tmp_path,))
        job.start()
        begin, size = time.monotonic(), _parts(tmp_path)
        while job.is_alive() and _parts(tmp_path) == size and time.monotonic() - begin < 60:
            time.sleep(0.01)
        job.kill()
        job.join()
    engine = Lengths()
    store = AnswerStore(tmp_path, engine.identity)
    already = store.load()
    assert len(already) > 0
    answers, cost = ask_all(engine, store, PROMPTS)
    assert cost.asked == len(PROMPTS) - len(already)
    assert [answer.log_odds for answer in answers] == [value(prompt) for prompt in PROMPTS]
    keys = [key for part in store.path.glob("part-*.parquet") for key in _keys(part)]
    assert sorted(keys) == sorted(prompt_key(prompt) for prompt in PROMPTS)


def test_many_small_parts_become_few_and_no_answer_is_ever_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dtlns.judges.llm.answers.ROWS_PER_PART", 2)
    store, watching = (AnswerStore(tmp_path, Lengths.identity) for _ in range(2))
    other = AnswerStore(tmp_path, Lengths.identity)
    other.add("of another job", Answer(1.0, True, 1, None))
    other.flush()
    for n in range(1, 601):
        store.add(f"key {n}", Answer(n / 3, True, n, None))
        if n % 37 == 0:
            assert len(watching.load()) == n // 2 * 2 + 1
    # 300 parts of two: one of 16 x 16 of them, two of 16, and 12 single ones, beside the other job's
    assert _parts(tmp_path) == 1 + 2 + 12 + 1
    found = watching.load()
    assert found["key 599"] == Answer(599 / 3, True, 599, None)
    assert len(found) == 601
    assert watching.load(["key 5", "key 5", "nobody's"]) == {"key 5": Answer(5 / 3, True, 5, None)}


def test_a_part_that_is_joined_while_it_is_read_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dtlns.judges.llm import answers

    monkeypatch.setattr(answers, "ROWS_PER_PART", 1)
    store = AnswerStore(tmp_path, Lengths.identity)
    for n in range(answers.PARTS_JOINED - 1):
        store.add(str(n), Answer(0.0, True, 1, None))
    read, times = answers._read, 0

    def slowly(part: Path) -> pl.DataFrame:
        nonlocal times
        times += 1
        if times == 3:  # the parts that were listed go now
            store.add("last", Answer(0.0, True, 1, None))
        return read(part)

    monkeypatch.setattr(answers, "_read", slowly)
    assert len(AnswerStore(tmp_path, Lengths.identity).load()) == answers.PARTS_JOINED


def test_prompts_are_made_a_block_at_a_time(tmp_path: Path) -> None:
    made: list[int] = []

    def make(users: NDArray[np.int64], items: NDArray[np.int64]) -> list[Prompt]:
        made.append(len(users))
        return [Prompt("", f"user {u}, item {i}") for u, i in zip(users, items, strict=True)]

    pairs = np.arange(5 * PAIRS_PER_BLOCK + 3)
    prompts = PromptList(make, pairs // 20, pairs)
    assert made == []
    last, back = prompts[-1].user, prompts[PAIRS_PER_BLOCK - 1 : PAIRS_PER_BLOCK + 2]
    assert last == f"user {pairs[-1] // 20}, item {pairs[-1]}"
    assert [prompt.user.split()[-1] for prompt in back] == [str(PAIRS_PER_BLOCK + k) for k in (-1, 0, 1)]
    with pytest.raises(IndexError):
        prompts[len(prompts)]
    made.clear()
    engine = Lengths()
    answers, _ = ask_all(engine, AnswerStore(tmp_path, engine.identity), prompts)
    assert [answer.log_odds for answer in answers] == [value(prompt) for prompt in prompts]
    assert max(made) == PAIRS_PER_BLOCK
    assert len(prompts._held) == 2


def _parts(folder: Path) -> int:
    return len(list(folder.rglob("part-*.parquet")))


def _keys(part: Path) -> list[str]:
    return pl.read_parquet(part)["key"].to_list()
