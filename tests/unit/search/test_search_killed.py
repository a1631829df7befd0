"""A search whose process is killed goes on to the trials of one that nobody touched."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dtlns.data.planted import PlantedSettings, plant

TOML = """
data = "world"
trials = 8
[train]
model = { name = "mf", dimensions = 4 }
sampler = { name = "dns", candidates = 2 }
epochs = 12
batch_size = 64
validate_every = 2
[space]
train.learning_rate = { low = 1e-3, high = 1.0, log = true }
train.l2 = { low = 1e-6, high = 1e-1, log = true }
"""
# The command line, but with a line for each epoch, so that kills can be aimed.
EVERY_EPOCH = "from dtlns.training import progress; progress.PAUSE = 0; from dtlns.cli import main; main()"


def start(toml: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", EVERY_EPOCH, "tune", str(toml), "-o", str(out), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )


def run(toml: Path, out: Path) -> None:
    process = start(toml, out)
    _, told = process.communicate()
    assert process.returncode == 0, told


def kill_after(toml: Path, out: Path, *markers: str) -> None:
    """Wait for the markers, one after the other, and kill."""
    process, left = start(toml, out), list(markers)
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            if left[0] in line:
                del left[0]
            if not left:
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_search_goes_on_to_the_same_trials(tmp_path: Path) -> None:
    plant(tmp_path / "world", PlantedSettings(users=60, branching=3, leaf_size=4, interactions=8), seed=0)
    toml = tmp_path / "search.toml"
    toml.write_text(TOML)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(toml, whole)
    assert len(table(whole)) == 8
    kill_after(toml, cut, "epoch 3/12")  # in the first trial
    kill_after(toml, cut, "trial 3 of 8", "epoch 3/12")
    assert len(table(cut)) == 3
    kill_after(toml, cut, "trial 5 of 8")
    run(toml, cut)
    assert table(cut) == table(whole)
    assert (cut / "best.toml").read_text().replace("/cut/", "/whole/") == (whole / "best.toml").read_text()
    assert {path.name for path in cut.iterdir()} == {".lock", "study.db", "trials.csv", "best.toml"}
