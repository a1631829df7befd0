"""A job that is killed again and again ends with what an undisturbed one has."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

MODEL = os.environ.get("DTLNS_LLM_MODEL", "")
JOB = Path(__file__).with_name("ask_in_the_background.py")
KILLS, PAIRS = 5, 1000
FLOAT32 = 1e-4
SECONDS_TO_END = 60


def kept(folder: Path) -> pl.DataFrame:
    """Return key and probability of every answer that is kept, by key."""
    parts = [pl.DataFrame(schema={"key": pl.String, "log_odds": pl.Float64})]
    while True:
        try:
            parts += [
                pl.read_parquet(part, columns=parts[0].columns) for part in folder.glob("*/part-*.parquet")
            ]
        except FileNotFoundError:
            continue  # the job has just joined some parts
        p = 1 / (1 + (-pl.col("log_odds")).exp())
        return pl.concat(parts).unique("key").select("key", p=p).sort("key")


def left(group: int) -> list[str]:
    """Return the names of the processes of a group that run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ends while it is looked at
            name, _, rest = file.read_text().rpartition(")")
            state, _, its_group = rest.split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(name)
    return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the job; it is killed with -9 in the end, and nothing that it started is left."""
    environment = os.environ | {"VLLM_LOGGING_LEVEL": "ERROR"}
    job = subprocess.Popen(
        [sys.executable, str(JOB), MODEL, str(folder)], env=environment, start_new_session=True
    )
    try:
        yield job
    finally:
        job.kill()
        job.wait(60)
        end = time.monotonic() + SECONDS_TO_END
        while left(job.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert left(job.pid) == []


def test_a_job_killed_five_times_ends_with_the_same_answers(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with running(whole) as job:
        assert job.wait() == 0
    expected = kept(whole)
    assert expected.height > 0.9 * PAIRS  # some prompts may be the same

    had = 0
    for _ in range(KILLS):
        with running(broken) as job:
            while kept(broken).height == had:
                assert job.poll() is None
                time.sleep(0.05)
        assert job.returncode == -signal.SIGKILL
        before, had = had, kept(broken).height
        assert before < had < expected.height
    with running(broken) as job:
        assert job.wait() == 0

    found = kept(broken)
    assert found["key"].to_list() == expected["key"].to_list()
    worst = (found["p"] - expected["p"]).abs().max()
    print(f"\nkilled {KILLS} times; largest difference of a probability {worst}")
    assert worst <= FLOAT32
