"""Train every small run three times: killed with -9 within an epoch, resumed from that, and undisturbed.

Each is a fork of this process, which has imported everything and computed nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from small_runs import CODES, data, runs

from dtlns.training.batches import Batches, Drawn
from dtlns.training.settings import TrainConfig
from dtlns.training.trainer import train as fit

KILLED_IN = (3, 3)  # epoch and batch; the checkpoint is of epoch 2


def main(out: Path) -> None:
    importlib.import_module("torch._dynamo")  # the first step of an optimiser would, in each fork
    for name, settings in runs().items():
        folder = out / name
        status = _fork(lambda: _run(settings, folder / "checkpoint", folder / "killed", kill=True))  # noqa: B023
        assert os.WIFSIGNALED(status), name
        assert os.WTERMSIG(status) == signal.SIGKILL, name
        assert _fork(lambda: _run(settings, folder / "checkpoint", folder / "resumed")) == 0, name  # noqa: B023
        assert _fork(lambda: _run(settings, None, folder / "whole")) == 0, name  # noqa: B023


def _run(settings: TrainConfig, checkpoint: Path | None, out: Path, *, kill: bool = False) -> None:
    if kill:
        Batches.epoch = _deadly(Batches.epoch)  # type: ignore[method-assign]
    train, selector, judged = data()
    model = fit(
        train,
        settings,
        selector=selector,
        codes=CODES,
        false_negatives=judged,
        device="cpu",
        checkpoint_dir=checkpoint,
        resume=not kill,
    )
    out.mkdir(parents=True)
    np.save(out / "users.npy", model.user_vectors)
    np.save(out / "items.npy", model.item_vectors)
    (out / "history.json").write_text(json.dumps(model.history))


def _deadly(
    epoch: Callable[..., Iterator[Drawn]],
) -> Callable[..., Iterator[Drawn]]:
    def until(self: Batches, number: int, *rest: object) -> Iterator[Drawn]:
        for drawn in epoch(self, number, *rest):
            if (number, drawn.context.number) == KILLED_IN:
                os.kill(os.getpid(), signal.SIGKILL)
            yield drawn

    return until


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
