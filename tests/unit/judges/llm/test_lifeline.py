"""Processes end with the one that made their lifeline, however it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtlns.judges.llm.engines.lifeline import Lifeline

PATIENCE = 30.0
SLEEP = "import time; print(flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
# It starts a process, tells its number, and waits to be killed.
OWNER = """
import subprocess, sys, time
from dtlns.judges.llm.engines.lifeline import Lifeline
held = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
held.stdout.readline()
line = Lifeline([held.pid], seconds=0.5)
if len(sys.argv) > 2:
    line.cut()
print(held.pid, flush=True)
time.sleep(600)
"""


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie has ended; nobody has asked for its status yet


def ends(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not runs(pid)


@contextlib.contextmanager
def owner(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start an owner; yield it and the number of the process that it holds, which is gone in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        held = int(process.stdout.readline())
        try:
            yield process, held
        finally:
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(held, signal.SIGKILL)


@pytest.mark.parametrize(
    ("held", "how"), [(SLEEP, signal.SIGKILL), (DEAF, signal.SIGKILL), (SLEEP, signal.SIGTERM)]
)
def test_what_is_held_ends_with_its_owner(held: str, how: signal.Signals) -> None:
    with owner(held) as (process, pid):
        assert runs(pid)
        process.send_signal(how)
        process.wait(PATIENCE)
        assert ends(pid, PATIENCE)


def test_a_line_that_is_cut_holds_nothing() -> None:
    with owner(SLEEP, "cut") as (process, pid):
        process.kill()
        process.wait(PATIENCE)
        assert not ends(pid, 1.5)


def test_the_watcher_goes_when_the_line_is_cut() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as held:
        line = Lifeline([held.pid])
        watcher = line._watcher.pid
        assert runs(watcher)
        line.cut()
        line.cut()
        assert not runs(watcher)
        assert held.poll() is None
        held.kill()
