"""kill -9 in every stage of `dtlns run`, the same command again: the bytes of a run that nobody touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
data = "bundled:movielens-small"
[pretrain]
epochs = 6
batch_size = 512
model = { name = "mf" }
[train]
epochs = 20
validate_every = 2
batch_size = 512
"""
# Each marker is a line on stderr; the process is killed when it appears. Twice in a final model: once from
# nothing, once after a resume.
MARKERS = [
    "importing",
    "splitting",
    "pretraining",
    "building trees",
    "taking candidates",
    "calibrating",
    "rebuilding",
    "training: popularity",
    "training: mf, uniform",
    "epoch 4/20",
    "epoch 12/20",
    "training: mf, mixgcf",
    "epoch 2/20",
    "weighted, c = 8",
    "epoch 10/20",
]

# The command line, but with a line for each epoch, so that kills can be aimed.
EVERY_EPOCH = "from dtlns.training import progress; progress.PAUSE = 0; from dtlns.cli import main; main()"


def _start(config: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", EVERY_EPOCH, "run", str(config), "-o", str(out), "--device", "cpu"]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )


def _kill_at(config: Path, out: Path, marker: str) -> bool:
    """Run until a marker appears and kill; tell whether it did."""
    process = _start(config, out)
    assert process.stderr is not None
    seen = []
    with process.stderr as lines:
        for line in lines:
            seen.append(line)
            if marker in line:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return True
    assert process.wait() == 0, "".join(seen)
    return False


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in ("run.json", "results.json", "README.md")
    }


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_killed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(CONFIG)
    whole = _start(config, tmp_path / "whole")
    assert whole.stderr is not None
    with whole.stderr as lines:
        log = lines.read()
    assert whole.wait() == 0, log

    killed = [marker for marker in MARKERS if _kill_at(config, tmp_path / "killed", marker)]
    # A busy machine may finish a model before the signal lands; every stage must have been hit all the same.
    missed = [marker for marker in MARKERS if marker not in killed]
    assert all(marker.startswith("epoch") for marker in missed), missed
    assert len(missed) <= 2
    last = _start(config, tmp_path / "killed")
    assert last.stderr is not None
    with last.stderr as lines:
        log = lines.read()
    assert last.wait() == 0, log
    assert _content(tmp_path / "killed") == _content(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.checkpoint"))
    assert not list((tmp_path / "killed").rglob(".*.partial*"))
