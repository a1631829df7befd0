"""`dtlns judge` that is told to stop frees its engine and leaves nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from run_command import call

JOB = Path(__file__).with_name("ask_slowly.py")
PATIENCE = 250.0


@dataclass(frozen=True)
class Made:
    candidates: Path
    trees: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    at = tmp_path_factory.mktemp("stopped")
    small = ["--users", 100, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
    made = Made(at / "candidates", at / "trees")
    for words in (
        ["data", "planted", "-o", at / "data", *small],
        ["pretrain", at / "data", "-o", at / "pretrained", "--epochs", 2],
        ["build-trees", at / "data", "-o", made.trees, "--pretrained", at / "pretrained"],
        ["candidates", at / "data", "-o", made.candidates, "--pretrained", at / "pretrained", "-m", 20],
    ):
        assert call(*words)[0] == 0
    return made


@pytest.mark.parametrize(("how", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_ends_its_engine_and_keeps_what_was_answered(
    made: Made, tmp_path: Path, how: signal.Signals, status: int
) -> None:
    told, out = tmp_path / "told", tmp_path / "out"
    options = ["engine=vllm", "model=any", f"answers={out / 'answers'}"]
    words = ["judge", made.candidates, "--trees", made.trees, "--judge", "llm", "-o", out / "judged"]
    words += [word for option in options for word in ("--judge-option", option)]
    command = [sys.executable, JOB, told, *words]
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True) as job:
        end = time.monotonic() + PATIENCE
        while not (told.exists() and told.read_text()):
            assert job.poll() is None, job.stderr and job.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.05)
        job.send_signal(how)
        assert job.wait(PATIENCE) == status
    assert not Path("/proc", told.read_text()).exists()
    # the hidden positives and all that comes of them are whole; what was being made has left nothing
    assert sorted(one.name for one in out.iterdir()) == ["answers", "judged-hidden"]
    assert not list(tmp_path.rglob("*.partial*"))
    assert len(list(out.glob("answers/*/part-*.parquet"))) == 1
