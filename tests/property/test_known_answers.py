"""The default structural tree finds a planted hierarchy, and predicts on real interactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

from dtlns import PathCodes, TrainView, build_tree, deepest_prefix, jaccard_graph, laplacian_vectors
from dtlns.data.planted import load_truth, plant

SPORTS = Path(__file__).parents[3] / "shared" / "data" / "amazon-sports"
USERS, ITEMS = 15_138, 8_439


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive lies deeper than a negative, ties half, from counts by depth."""
    below = np.concatenate([[0], np.cumsum(negative)[:-1]])
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def auc_of_all_pairs(codes: PathCodes, train: TrainView, wanted: sp.csr_array) -> float:
    """AUC of the deepest prefix for wanted pairs among all unobserved ones."""
    counts = np.zeros((2, codes.max_depth + 1))
    for start in range(0, train.n_users, 2000):
        users = np.arange(start, min(start + 2000, train.n_users))
        depths = deepest_prefix(codes, train, users)
        unseen = train.csr()[users].toarray() == 0
        positive = wanted[users].toarray() > 0
        for row, kind in enumerate((positive, ~positive)):
            counts[row] += np.bincount(depths[kind & unseen], minlength=counts.shape[1])
    return auc(*counts)


def adjusted_rand(codes: PathCodes, paths: np.ndarray) -> list[float]:
    """Agreement of the codes' prefixes with the true ones, level by level."""
    found = [np.array([hash(path[:level]) for path in codes.to_paths()]) for level in (1, 2, 3)]
    true = [np.array([hash(tuple(path[:level])) for path in paths.tolist()]) for level in (1, 2, 3)]
    return [adjusted_rand_score(t, f) for t, f in zip(true, found, strict=True)]


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_hierarchy_is_recovered(tmp_path, seed):
    train = plant(tmp_path / "world", "easy", seed=seed).train
    truth = load_truth(tmp_path / "world")
    graph = jaccard_graph(train)
    codes = build_tree(laplacian_vectors(graph).vectors).codes
    assert min(adjusted_rand(codes, truth.paths)) >= 0.95
    published = build_tree(laplacian_vectors(graph, power=0.0, unit_rows=False).vectors).codes
    assert adjusted_rand(published, truth.paths)[0] < 0.7

    liked = sp.csr_array(
        (np.ones(len(truth.liked)), truth.liked.astype(np.int64), truth.liked_indptr),
        shape=(train.n_users, train.n_items),
    )
    assert auc_of_all_pairs(codes, train, liked) >= 0.93
    assert auc_of_all_pairs(PathCodes.from_paths(truth.path_tuples()), train, liked) >= 0.95
    assert auc_of_all_pairs(codes.shuffled(seed), train, liked) == pytest.approx(0.5, abs=0.02)


def read_pairs(name: str) -> sp.csr_array:
    users, items = np.loadtxt(SPORTS / name, dtype=np.int64).T
    return sp.csr_array((np.ones(len(users)), (users, items - USERS)), shape=(USERS, ITEMS))


@pytest.mark.slow
@pytest.mark.skipif(not SPORTS.exists(), reason="../shared/data/amazon-sports is not there")
def test_structural_tree_of_amazon_sports_predicts_validation_positives():
    train, valid, test = (read_pairs(f"{split}.txt") for split in ("train", "valid", "test"))
    view = TrainView.from_csr(train)
    tree = build_tree(laplacian_vectors(jaccard_graph(view)).vectors)
    assert tree.size[tree.leaves].max() <= 30
    assert auc_of_all_pairs(tree.codes, view, valid) >= 0.77

    listed = np.loadtxt(SPORTS / "candidate_items.txt", dtype=np.int64)
    users, items = listed[:, 0], listed[:, 1:] - USERS
    depths = deepest_prefix(tree.codes, view, users, items)
    held = {
        name: np.asarray(m[users[:, None], items].todense()) > 0
        for name, m in {"train": train, "valid": valid, "test": test}.items()
    }
    kept = ~held["train"] & ~held["test"]
    counts = [np.bincount(depths[kept & kind], minlength=9) for kind in (held["valid"], ~held["valid"])]
    assert auc(*counts) >= 0.64
