"""One process and two processes of torchrun train to the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from small_runs import runs  # noqa: E402


def _train(folder: Path, *launcher: str) -> Path:
    folder.mkdir()
    command = [sys.executable, *launcher, str(HERE / "train_all.py"), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train(tmp_path_factory.mktemp("runs") / "alone")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return _train(tmp_path_factory.mktemp("runs") / "shared", *launcher)


@pytest.mark.slow
@pytest.mark.timeout(600)  # the fixture trains all of them
@pytest.mark.parametrize("name", runs())
def test_two_processes_give_the_numbers_of_one(name: str, alone: Path, shared: Path) -> None:
    """Gradients are summed in another order, so the last bits may differ; a whole step may not."""
    ours, theirs = (np.load(folder / f"{name}.npz") for folder in (alone, shared))
    for table in ("users", "items"):
        np.testing.assert_allclose(theirs[table], ours[table], rtol=1e-4, atol=1e-5)
    first, second = (json.loads((folder / f"{name}.json").read_text()) for folder in (alone, shared))
    assert len(first) == len(second) == 4
    for here, there in zip(first, second, strict=True):
        assert here == pytest.approx(there, rel=1e-5)
