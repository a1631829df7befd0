"""Compare two groups of trained models over seeds, user by user.

    python experiments/seeds.py DATASET --baseline RUN... --against RUN...

For each group: mean and standard deviation over seeds of Recall@20 and NDCG@20 on test, leak-free. Then, for
each user the mean over seeds, the mean difference with a bootstrap interval over users and seeds (10,000
draws), and a Wilcoxon signed-rank test over users (zero differences split between both signs).

What is assumed: users are independent of each other, given the training data and the split, and seeds of the
two groups are independent. With few seeds the interval is somewhat too narrow. The Wilcoxon test asks about
the signs and ranks of users' differences for these very models: it knows no variation over seeds, and may
disagree with the mean. Another split, or another pretraining, is in neither.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from dtlns import Dataset, load_dataset
from dtlns.artifacts import open_artifact
from dtlns.evaluation.protocol import evaluate
from dtlns.models.registry import load_scorer

METRICS = ("recall", "ndcg")
DRAWS = 10_000


def per_user(data: Dataset, runs: list[Path]) -> dict[str, NDArray[np.float64]]:
    """Return each metric as float64 [seeds, users]."""
    if data.test is None:
        raise SystemExit("the data set has no test split")
    values: dict[str, list[NDArray[np.float64]]] = {metric: [] for metric in METRICS}
    for run in runs:
        model = open_artifact(run, "model")
        model.check_train(data.train.digest)
        result = evaluate(load_scorer(model.path), data.train, data.test, ks=(20,), metrics=METRICS)
        for metric in METRICS:
            values[metric].append(result.per_user[f"{metric}@20"])
    return {metric: np.stack(rows) for metric, rows in values.items()}


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--baseline", type=Path, nargs="+", required=True)
    parser.add_argument("--against", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    data = load_dataset(arguments.dataset)
    groups = {name: per_user(data, getattr(arguments, name)) for name in ("baseline", "against")}
    rng = np.random.default_rng(0)
    for metric in METRICS:
        for name, values in groups.items():
            means = values[metric].mean(axis=1)
            spread = means.std(ddof=1) if len(means) > 1 else float("nan")
            print(f"{metric}@20  {name:9} {means.mean():.4f} ± {spread:.4f} over {len(means)} seeds")
        base, other = (groups[name][metric] for name in ("baseline", "against"))
        difference = other.mean(axis=0) - base.mean(axis=0)
        draws = np.empty(DRAWS)
        for draw in range(DRAWS):
            users = rng.integers(0, base.shape[1], base.shape[1])
            drawn = [v[rng.integers(0, len(v), len(v))].mean(axis=0)[users].mean() for v in (other, base)]
            draws[draw] = drawn[0] - drawn[1]
        low, high = np.quantile(draws, [0.025, 0.975])
        test = wilcoxon(difference, zero_method="zsplit")
        relative = difference.mean() / base.mean()
        print(
            f"           difference {difference.mean():+.4f} ({relative:+.1%}), "
            f"95 % interval [{low:+.4f}, {high:+.4f}], Wilcoxon p = {test.pvalue:.2g}"
        )


if __name__ == "__main__":
    main()
