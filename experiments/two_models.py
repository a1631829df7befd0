"""Two models added up, with a weight from validation: what the recipe's prior has to be better than.

    python experiments/two_models.py DATASET MODEL MODEL

Scores are standardised over the items for each user. Test is read once, with the weight of the best
validation NDCG@20.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.data.dataset import load_dataset
from dtlns.evaluation.protocol import evaluate
from dtlns.models.base import Scorer
from dtlns.models.registry import load_scorer

WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)


class Sum:
    """The standardised scores of one model, and those of another with a weight."""

    def __init__(self, one: Scorer, other: Scorer, weight: float) -> None:
        self.one, self.other, self.weight = one, other, weight
        self.n_users, self.n_items = one.n_users, one.n_items

    def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every item for some users: int64 [B] -> float32 [B, I]."""
        one, other = (_standardised(model.score(users)) for model in (self.one, self.other))
        return one + np.float32(self.weight) * other


def _standardised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = np.maximum(scores.std(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    standardised: NDArray[np.float32] = (scores - scores.mean(axis=1, keepdims=True)) / spread
    return standardised


def main() -> None:
    """Print each weight's worth on validation, and that of the best one on test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs=2)
    given = parser.parse_args()
    data = load_dataset(given.data)
    one, other = (load_scorer(path) for path in given.models)

    def told(weight: float, held: Any) -> tuple[float, float]:
        result = evaluate(Sum(one, other, weight), data.train, held, ks=[20], metrics=["recall", "ndcg"])
        return float(result.per_user["recall@20"].mean()), float(result.per_user["ndcg@20"].mean())

    values = {weight: told(weight, data.valid) for weight in WEIGHTS}
    for weight, (recall, ndcg) in values.items():
        print(f"weight {weight:g}: validation Recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}", flush=True)
    best = max(WEIGHTS, key=lambda weight: values[weight][1])
    recall, ndcg = told(best, data.test)
    print(f"weight {best:g}: test Recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}")


if __name__ == "__main__":
    main()
