"""Where models differ: by how active users are, how popular items are, and how deep trees put them together.

    python experiments/where_gains.py DATASET RUN/seed-* --models plain host host-prior ease=RUN/ease

Runs are those of `dtlns run --recipe best`, one for each seed; a model is the name of one in each of them,
or NAME=FOLDER for one that they share.
Prints tables on test: Recall@20 and NDCG@20 by length of the training history; the share of test pairs
among the 20 best by the item's training interactions, and by the deepest prefix that the item shares with
the user's history in each tree. ± is half a 95 % interval over users, whose pairs and runs are one unit; in
brackets the difference from the first model, with its own.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import open_artifact
from dtlns.data.dataset import load_dataset
from dtlns.data.views import TrainView
from dtlns.evaluation.metrics import ranking_metrics
from dtlns.models.base import Scorer
from dtlns.models.registry import load_scorer
from dtlns.prefixes import deepest_prefix
from dtlns.ranking import take_rows, top_k
from dtlns.stages.trees import load_codes

K = 20
DEEPEST = 65  # a code has 64 bits
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def best_items(scorer: Scorer, train: TrainView, users: Ints) -> Ints:
    """Return the K best items of each user, int64 [B, K]."""
    parts = [users[at : at + 1024] for at in range(0, len(users), 1024)]
    return np.concatenate([top_k(scorer.score(part), K, mask=train, users=part)[0] for part in parts])


def ratio(values: Floats, counts: Floats) -> tuple[float, float]:
    """Return Σ values / Σ counts over users, and half its 95 % interval (linearised; users are the units).

    Example:
        >>> mean, half = ratio(np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4))
        >>> mean, round(half / 1.96, 4)  # that of a mean: 0.5774 / √4
        (0.5, 0.2887)
    """
    there = counts > 0
    values, counts = values[there], counts[there]
    mean = values.sum() / counts.sum()
    away = values - mean * counts
    scale = len(away) / max(1, len(away) - 1)
    return float(mean), float(1.96 * np.sqrt(scale * (away**2).sum()) / counts.sum())


def by_quartile(counts: Ints) -> tuple[Ints, list[str]]:
    """Group users by quartiles of their interactions; equal ones stay together."""
    edges = np.unique(np.quantile(counts, [0.25, 0.5, 0.75], method="inverted_cdf"))
    group = np.searchsorted(edges, counts)
    parts = [counts[group == at] for at in range(len(edges) + 1)]
    return group, [f"{part.min()} to {part.max()}" if len(part) else "" for part in parts]


def by_popularity(counts: Ints) -> tuple[Ints, list[str]]:
    """Group items so that each of three groups has a third of all interactions; a fourth one has none."""
    order = np.argsort(-counts, kind="stable")
    before = np.empty(len(counts), dtype=np.int64)
    before[order] = np.cumsum(counts[order]) - counts[order]
    group = np.minimum(3 * before // max(1, counts.sum()), 2)
    group[counts == 0] = 3
    parts = [counts[group == at] for at in range(4)]
    names = ("head", "torso", "tail", "never seen")
    told = [f", {part.min()} to {part.max()}" if len(part) else "" for part in parts]
    return group, [
        f"{name} ({len(part)} items{text})" for name, part, text in zip(names, parts, told, strict=True)
    ]


def table(title: str, groups: list[str], counts: Floats, models: Mapping[str, Floats], runs: int) -> None:
    """Print one table from sums by group and user over all runs, [groups, users]."""
    first = next(iter(models))
    print(f"\n| {title} | n | " + " | ".join(models) + " |\n" + "|---" * (2 + len(models)) + "|")
    for at, name in enumerate(groups):
        if not counts[at].any():
            continue
        cells = []
        for model, values in models.items():
            mean, half = ratio(values[at], counts[at])
            change, error = ratio(values[at] - models[first][at], counts[at])
            cells.append(
                f"{mean:.4f} ± {half:.4f}" if model == first else f"{mean:.4f} ({change:+.4f} ± {error:.4f})"
            )
        print(f"| {name} | {counts[at].sum() / runs:,.0f} | " + " | ".join(cells) + " |")


@dataclass(frozen=True)
class Slice:
    """Users, or test pairs, in groups.

    Attributes:
        title: For people.
        metric: Of users; empty for the share of pairs that are found.
        labels: Of the groups.
        group: int64 [N].
        owner: int64 [N], the place of each one's user.
    """

    title: str
    metric: str
    labels: list[str]
    group: Ints
    owner: Ints

    def sums(self, values: Floats, n_users: int) -> Floats:
        """Add values up by group and user, float64 [groups, users]."""
        flat = np.bincount(self.group * n_users + self.owner, values, minlength=len(self.labels) * n_users)
        return flat.reshape(len(self.labels), n_users)


def main() -> None:
    """Measure the models of all runs, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["plain", "host", "host-prior"])
    given = parser.parse_args()
    data = load_dataset(given.data)
    train, test = data.train, data.test
    if test is None:
        parser.error(f"{given.data} has no test pairs")
    users = test.users()
    users = users[users < train.n_users]
    users = users[train.user_counts[users] > 0]
    starts, held = take_rows(test, users)
    item, own = held.astype(np.int64), np.arange(len(users))
    owner = np.repeat(own, np.diff(starts))
    seen = item < train.n_items

    active, ranges = by_quartile(train.user_counts[users].astype(np.int64))
    popularity, parts = by_popularity(train.item_counts.astype(np.int64))
    popular = np.where(seen, popularity[np.where(seen, item, 0)], 3)
    always = [
        Slice("Recall@20 by training interactions of the user", "recall@20", ranges, active, own),
        Slice("NDCG@20 by the same", "ndcg@20", ranges, active, own),
        Slice("test pairs found, by the item's training interactions", "", parts, popular, owner),
    ]

    @cache
    def measured(folder: Path) -> dict[str, Floats]:
        lists = best_items(load_scorer(open_artifact(folder, "model").path), train, users)
        hit = (lists[owner] == item[:, None]).any(axis=1)
        return {"": hit.astype(np.float64), **ranking_metrics(lists, starts, held, [K], ["recall", "ndcg"])}

    folders = dict(each.partition("=")[::2] for each in given.models)
    slices: dict[str, Slice] = {}
    sums: dict[tuple[str, str], Floats] = defaultdict(lambda: np.zeros(()))  # by title and model
    for run in given.runs:
        here = list(always)
        trees = load_codes(open_artifact(run / "trees", "trees")) if (run / "trees").exists() else {}
        for view, codes in trees.items():
            depth = np.zeros(len(item), dtype=np.int64)
            depth[seen] = deepest_prefix(codes, train, users[owner[seen]], item[seen, None])[:, 0]
            title = f"test pairs found, by deepest prefix shared with the history, {view} tree"
            here.append(Slice(title, "", [str(at) for at in range(DEEPEST)], depth, owner))
        for part in here:
            slices[part.title] = part
            sums[part.title, "n"] = sums[part.title, "n"] + part.sums(np.ones(len(part.owner)), len(users))
            for name, folder in folders.items():
                values = measured(Path(folder) if folder else run / "models" / name)[part.metric]
                sums[part.title, name] = sums[part.title, name] + part.sums(values, len(users))
    for title, part in slices.items():
        found = {name: sums[title, name] for name in folders}
        table(title, part.labels, sums[title, "n"], found, len(given.runs))


if __name__ == "__main__":
    main()
