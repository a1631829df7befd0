"""Train every small run, alone or as one of the processes of torchrun, and keep vectors and history."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from small_runs import CODES, data, runs

from dtlns.training.device import resolve_device
from dtlns.training.parallel import is_first, processes
from dtlns.training.trainer import train as fit


def main(out: Path) -> None:
    train, selector, judged = data()
    device = resolve_device("cpu")
    with processes(device):
        for name, settings in runs().items():
            model = fit(
                train, settings, selector=selector, codes=CODES, false_negatives=judged, device=device
            )
            if is_first():
                np.savez(out / f"{name}.npz", users=model.user_vectors, items=model.item_vectors)
                (out / f"{name}.json").write_text(json.dumps(model.history))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
