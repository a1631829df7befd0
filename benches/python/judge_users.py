"""What calibrating on some users loses: the prefix judge, fitted on N users and measured on all the others.

python benches/python/judge_users.py CANDIDATES TREES HIDDEN [--draws 5]

The pairs are those of a calibration: candidates of the pipeline rebuilt without the hidden positives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dtlns.artifacts import open_artifact
from dtlns.errors import DataError
from dtlns.judges.base import score_table
from dtlns.judges.calibration import fit_calibration
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.quality import measure
from dtlns.stages.asking import calibration_request
from dtlns.stages.hidden import search

SIZES = (500, 1000, 2000, 4000, 8000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("candidates", "trees", "hidden"):
        parser.add_argument(name, type=lambda text, kind=name: open_artifact(Path(text), kind))
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()

    request = calibration_request(given.candidates, given.trees, given.hidden)
    found = search(given.candidates, given.hidden).found
    columns, scores = score_table(PrefixJudge(), request)
    users, n_users = request.candidates.pairs()[0], request.train.n_users

    print("| users | hidden positives | AUC | within users | calibration error | mean chance / base rate |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        rows = []
        for seed in range(given.draws):
            chosen = np.zeros(n_users, dtype=np.bool_)
            chosen[np.random.default_rng(seed).permutation(n_users)[:size]] = True
            mine = chosen[users]
            try:
                fit = fit_calibration(columns, scores[mine], found[mine], users[mine], n_users, seed)
            except DataError as error:
                print(f"{size} users, draw {seed}: {error}")
                continue
            told = measure(fit.calibration.p_hidden(scores[~mine]), found[~mine], users[~mine])
            rows.append(
                (
                    found[mine].sum(),
                    told["auc"],
                    told["auc_within_users"],
                    told["calibration_error"],
                    told["mean_chance"] / told["base_rate"],
                )
            )
        mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0)
        print(
            f"| {size:,} | {mean[0]:.0f} | {mean[1]:.4f} ± {sd[1]:.4f} | {mean[2]:.4f} | {mean[3]:.5f} "
            f"| {mean[4]:.2f} ± {sd[4]:.2f} |",
            flush=True,
        )
    fit = fit_calibration(columns, scores, found, users, n_users)
    told = measure(fit.out_of_fold, found, users)
    print(
        f"all {n_users:,}, cross-fitted: {told['positives']} positives, AUC {told['auc']:.4f}, within users "
        f"{told['auc_within_users']:.4f}, calibration error {told['calibration_error']:.5f}"
    )


if __name__ == "__main__":
    main()
