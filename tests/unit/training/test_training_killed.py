"""A training process that is killed goes on to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np, scipy.sparse as sp
from dtlns.data.views import TrainView
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.trainer import train

out, pause, resume = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "resume"
rows = np.random.default_rng(0).random((40, 30)) < 0.2
view = TrainView.from_csr(sp.csr_array(rows.astype(np.float32)))
told = TrainConfig(model=ModelConfig(name="lightgcn", dimensions=4), sampler=SamplerConfig(name="mixgcf"),
                   epochs=12, batch_size=64, validate_every=1)
model = train(view, told, device="cpu", checkpoint_dir=out / "checkpoint", resume=resume,
              progress=lambda _: time.sleep(pause))
(out / "model").mkdir()
model.save(out / "model")
"""


def command(out: Path, pause: float, how: str) -> list[str]:
    out.mkdir(exist_ok=True)
    return [sys.executable, "-W", "error", "-c", SCRIPT, str(out), str(pause), how]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(whole, 0, "new"), check=True, env=environment)
    running = subprocess.Popen(command(cut, 0.3, "new"), env=environment)
    metrics = cut / "checkpoint" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 3):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (cut / "model").exists()
    subprocess.run(command(cut, 0, "resume"), check=True, env=environment)
    assert contents(cut / "model") == contents(whole / "model")
