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

import pytest

from dtlns.errors import ArtifactError, JudgeError
from dtlns.judges.llm.answers import AnswerStore, missing, prompt_key
from dtlns.judges.llm.base import Answer, Failure, Prompt
from dtlns.judges.llm.job import ask_all

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


def _parts(folder: Path) -> int:
    return len(list(folder.rglob("part-*.parquet")))


def _keys(part: Path) -> list[str]:
    import polars as pl

    return pl.read_parquet(part)["key"].to_list()
