"""What the structural tree finds in a planted world, beside oracle and random codes.

    python experiments/planted.py [--setting easy|hard] [--seeds 3]

Prints the adjusted Rand index at each level of the hierarchy, and the AUC of the deepest prefix for liked,
unobserved items among all unobserved ones. Trees are built from the training split (70 % of the
interactions).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from tree_auc import auc

from dtlns import PathCodes, TrainView, build_tree, deepest_prefix, jaccard_graph, laplacian_vectors
from dtlns.data.planted import PlantedTruth, load_truth, plant
from dtlns.judges.hiding import is_member


def agreement(codes: PathCodes, truth: PlantedTruth) -> list[float]:
    """Adjusted Rand index of prefixes with the true ones, level by level."""
    found = codes.to_paths()
    levels = range(1, truth.paths.shape[1] + 1)
    scores = []
    for level in levels:
        true = np.unique(truth.paths[:, :level], axis=0, return_inverse=True)[1]
        names = {path[:level]: at for at, path in enumerate(found)}
        scores.append(float(adjusted_rand_score(true.ravel(), [names[path[:level]] for path in found])))
    return scores


def liked_auc(codes: PathCodes, train: TrainView, truth: PlantedTruth) -> float:
    """AUC for liked items among all unobserved pairs."""
    counts: NDArray[np.int64] = np.zeros((2, codes.max_depth + 1), dtype=np.int64)
    users, items = (grid.ravel() for grid in np.mgrid[: train.n_users, : train.n_items])
    depth = deepest_prefix(codes, train, np.arange(train.n_users)).ravel()
    free = ~is_member(train.indptr, train.indices, users, items)
    liked = is_member(truth.liked_indptr, truth.liked.astype(np.uint32), users, items)
    for row, kind in enumerate((liked, ~liked)):
        counts[row] = np.bincount(depth[kind & free], minlength=counts.shape[1])
    return auc(*counts)


def main() -> None:
    """Print one line for each kind of codes and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--setting", choices=["easy", "hard"], default="easy")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'codes':18}{'seed':>5}{'level 1':>9}{'level 2':>9}{'level 3':>9}{'AUC':>8}")
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            train = plant(Path(folder) / "world", arguments.setting, seed=seed).train
            truth = load_truth(Path(folder) / "world")
        graph = jaccard_graph(train)
        default = build_tree(laplacian_vectors(graph).vectors).codes
        oracle = PathCodes.from_paths(truth.path_tuples())
        kinds = {
            "default": default,
            "published form": build_tree(laplacian_vectors(graph, power=0.0, unit_rows=False).vectors).codes,
            "oracle": oracle,
            "random (shuffled)": default.shuffled(seed),
        }
        for name, codes in kinds.items():
            levels = "".join(f"{score:9.3f}" for score in agreement(codes, truth))
            print(f"{name:18}{seed:5}{levels}{liked_auc(codes, train, truth):8.3f}")


if __name__ == "__main__":
    main()
