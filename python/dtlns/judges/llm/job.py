"""A job: ask an engine what is not known yet, keep every answer, and end cleanly when told to."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dtlns.errors import JudgeError
from dtlns.judges.llm.answers import AnswerStore, missing, prompt_key
from dtlns.judges.llm.base import Answer, Engine, Failure, Prompt
from dtlns.judges.llm.lazy import Chosen

SECONDS_PER_LINE = 15.0
log = logging.getLogger(__name__)


@dataclass
class Cost:
    """What a job took.

    Attributes:
        pairs: Pairs that were wanted.
        asked: Prompts that were asked; the others were known, or the same question as another.
        failed: Asked without an answer.
        prompt_tokens: Of the asked ones.
        computed_tokens: Of these, not taken from the engine's prefix cache; all, where it does not say.
        seconds: Wall time of the asking.
    """

    pairs: int = 0
    asked: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    seconds: float = 0.0

    def __iadd__(self, other: Cost) -> Cost:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with rates."""
        done = self.asked - self.failed
        return vars(self) | {
            "pairs_per_second": done / self.seconds if self.seconds else None,
            "computed_tokens_per_pair": self.computed_tokens / done if done else None,
        }


def ask_all(engine: Engine, store: AnswerStore, prompts: Sequence[Prompt]) -> tuple[list[Answer], Cost]:
    """Return an answer to every prompt, from the store where it has one.

    Ctrl-C lets what is in flight end and keeps it; a second one does not wait. A terminal tells it to the
    engine's own processes, too: where they end at once, what is in flight is lost. A prompt that fails does
    not stop the others.

    Args:
        engine: Asked, in the order of `prompts`, what the store does not know.
        store: Keeps what is answered.
        prompts: Those of one user side by side, so that a prefix cache hits. They are looked at twice: for
            what is known of them, and to ask.

    Returns:
        An answer for each prompt, and what it took.

    Raises:
        JudgeError: Prompts failed; their number and the reasons. What was answered is kept.
        KeyboardInterrupt: Ctrl-C; what was answered is kept.
    """
    keys = [prompt_key(prompt) for prompt in prompts]
    answers = store.load(keys)
    places = missing(keys, answers)
    cost = Cost(pairs=len(prompts), asked=len(places))
    if not places:
        return [answers[key] for key in keys], cost
    log.info("asking %d prompts for %d pairs; the others are known or the same", len(places), len(prompts))
    reasons: Counter[str] = Counter()
    begin = said = time.monotonic()
    ended = 0
    with _finishing(engine) as stopped:
        try:
            for at, outcome in engine.ask(Chosen(prompts, places)):
                ended += 1
                if isinstance(outcome, Failure):
                    reasons[outcome.reason] += 1
                else:
                    key = keys[places[at]]
                    answers[key] = outcome
                    store.add(key, outcome)
                    cost.prompt_tokens += outcome.prompt_tokens
                    cost.computed_tokens += outcome.prompt_tokens - (outcome.cached_tokens or 0)
                now = time.monotonic()
                if now - said >= SECONDS_PER_LINE:
                    said = now
                    log.info(_progress(ended, len(places), now - begin, reasons.total()))
                if stopped.is_set() and not hasattr(engine, "stop"):
                    break
        except Exception as error:
            if not stopped.is_set():
                raise
            log.info("what was in flight is lost: %s", error)
        finally:
            store.flush()
    cost.seconds, cost.failed = time.monotonic() - begin, reasons.total()
    if stopped.is_set():
        log.info("stopped after %d of %d prompts; they are kept in %s", ended, len(places), store.path)
        raise KeyboardInterrupt
    log.info(
        "%d prompts in %.0f s, %.1f/s; %d tokens, %d of them computed",
        ended,
        cost.seconds,
        ended / max(cost.seconds, 1e-9),
        cost.prompt_tokens,
        cost.computed_tokens,
    )
    lost = [place for place in places if keys[place] not in answers]
    if lost:
        worst = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        raise JudgeError(
            f"{len(lost)} of {len(prompts)} prompts have no answer: {worst or 'the engine skipped them'}",
            hint=f"run the same command again: what was answered is kept in {store.path}",
        )
    return [answers[key] for key in keys], cost


@contextmanager
def _finishing(engine: Engine) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a wish to stop; the next one is as always."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.getsignal(signal.SIGINT)

    def wish(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, before)
        stop = getattr(engine, "stop", None)
        if stop is not None:
            stop()

    signal.signal(signal.SIGINT, wish)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(ended: int, of: int, seconds: float, failed: int) -> str:
    rate = ended / seconds
    left = (of - ended) / rate
    tail = f", {failed} failed" if failed else ""
    return f"{ended} of {of} prompts, {rate:.1f}/s, about {duration(left)} left{tail}"


def duration(seconds: float) -> str:
    """Write seconds as people say them.

    Example:
        >>> duration(75.4), duration(600.0), duration(9_000.0)
        ('75 s', '10 min', '2 h 30 min')
    """
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{minutes} min"
        if minutes < 90
        else f"{minutes // 60} h {minutes % 60} min"
    )
