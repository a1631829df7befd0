"""Controls for a judge: the same candidates, with chances that know less.

    python experiments/judged_control.py JUDGED -o CONTROL --how shuffled|constant

`shuffled` deals each user's chances out anew among the user's candidates; `constant` gives every candidate
the mean chance. Train with JUDGED and with CONTROL: the difference is what the judge adds to taking the
pretrained model's best items as weak positives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from dtlns.artifacts import open_artifact, write_artifact


def main() -> None:
    """Write an artefact of the kind `judged`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("judged", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--how", choices=["shuffled", "constant"], required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    judged = open_artifact(arguments.judged, "judged")
    frame = pl.read_parquet(judged.path / "judged.parquet")
    chances = frame["p_hidden"].to_numpy()
    if arguments.how == "constant":
        changed = np.full_like(chances, chances.mean())
    else:
        users = frame["user"].to_numpy()
        ties = np.random.default_rng(arguments.seed).random(len(users))
        changed = np.empty_like(chances)
        changed[np.lexsort((np.arange(len(users)), users))] = chances[np.lexsort((ties, users))]
    with write_artifact(
        arguments.output,
        "judged",
        config={"judge": f"{judged.config['judge']}, {arguments.how}", "seed": arguments.seed},
        inputs={"judged": judged.digest},
        train_digest=judged.train_digest,
    ) as folder:
        frame.with_columns(p_hidden=changed).write_parquet(folder / "judged.parquet", compression="zstd")


if __name__ == "__main__":
    main()
