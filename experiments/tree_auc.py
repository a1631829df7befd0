"""How well path codes predict held-out positives: AUC of the deepest prefix into the user's history.

    python experiments/tree_auc.py DATASET (TREES | --paths FILE) [--candidates FILE]

Positives are validation pairs. Test pairs are left out of the negatives and otherwise unused. FILE has the
candidates of the DTL-NS release: user, then items, in the ids of the source.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns import Dataset, PathCodes, deepest_prefix, load_dataset
from dtlns.artifacts import open_artifact
from dtlns.judges.hiding import is_member
from dtlns.stages.trees import load_codes

BATCH = 1024


def auc(positive: NDArray[np.int64], negative: NDArray[np.int64]) -> float:
    """Chance that a positive lies deeper than a negative, ties half, from counts by depth."""
    below = np.concatenate([[0], np.cumsum(negative)[:-1]])
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def counts_by_depth(
    codes: PathCodes, data: Dataset, users: NDArray[np.int64], items: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Count depths of validation positives and of other unobserved pairs: int64 [2, T + 1]."""
    train, valid, test = data.train, data.valid, data.test
    if valid is None or test is None:
        raise SystemExit("the data set needs a validation and a test split")
    counts = np.zeros((2, codes.max_depth + 1), dtype=np.int64)
    for start in range(0, len(users), BATCH):
        some = users[start : start + BATCH]
        listed = (
            np.arange(train.n_items)[None, :].repeat(len(some), 0)
            if items is None
            else items[start : start + BATCH]
        )
        depth = deepest_prefix(codes, train, some, listed).ravel()
        rows, columns = some.repeat(listed.shape[1]), listed.ravel()
        held = {
            name: is_member(v.indptr, v.indices, rows, columns)
            for name, v in (("valid", valid), ("test", test))
        }
        free = ~is_member(train.indptr, train.indices, rows, columns) & ~held["test"]
        for row, kind in enumerate((held["valid"], ~held["valid"])):
            counts[row] += np.bincount(depth[kind & free], minlength=counts.shape[1])
    return counts


def read_candidates(file: Path, data: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read candidates and translate the source's ids into indexes."""
    table = np.loadtxt(file, dtype=np.int64)
    places: list[Mapping[int, int]] = [
        {int(value): at for at, value in enumerate(ids["id"].to_list())} for ids in (data.users, data.items)
    ]
    users = np.array([places[0][user] for user in table[:, 0].tolist()])
    items = np.array([places[1][item] for item in table[:, 1:].ravel().tolist()])
    return users, items.reshape(len(users), -1)


def read_paths(file: Path, data: Dataset) -> PathCodes:
    """Read codes as the DTL-NS release writes them, `item: a-b-c`, in the source's item ids."""
    lines = (line.split(": ") for line in file.read_text().splitlines())
    paths = {int(item): tuple(map(int, path.split("-"))) for item, path in lines}
    return PathCodes.from_paths([paths[item] for item in data.items["id"].head(data.n_train_items).to_list()])


def main() -> None:
    """Print one line for each view."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("trees", type=Path, nargs="?")
    parser.add_argument("--paths", type=Path)
    parser.add_argument("--candidates", type=Path)
    arguments = parser.parse_args()
    data = load_dataset(arguments.dataset)
    if (arguments.trees is None) == (arguments.paths is None):
        parser.error("give either TREES or --paths")
    if arguments.paths is not None:
        views = {arguments.paths.stem: read_paths(arguments.paths, data)}
    else:
        artifact = open_artifact(arguments.trees, "trees")
        artifact.check_train(data.train.digest)
        views = load_codes(artifact)
    for name, codes in views.items():
        every = counts_by_depth(codes, data, np.arange(data.train.n_users), None)
        line = f"{name:12} all unobserved pairs {auc(*every):.3f}"
        if arguments.candidates is not None:
            users, items = read_candidates(arguments.candidates, data)
            line += f"   candidates {auc(*counts_by_depth(codes, data, users, items)):.3f}"
        print(line)


if __name__ == "__main__":
    main()
