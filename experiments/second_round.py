"""Does a second round find more, where the trained host scores and the model is fitted again?

    python experiments/second_round.py RUN -o OUT

RUN is a folder of `dtlns run --recipe best` with two hidings or more. In the world of each hiding, without
its positives, the false negatives of round 1 come from a classifier that was fitted on the other hidings,
for each user from one that has not seen that user. With them the plain host, and from it the host of the
recipe's first arm, are trained there for a fixed number of epochs. The second fit sees what the first one
saw, and the host's score, place and cosines; a control sees those of the plain host.

Prints what each fit finds of the hidden positives, cross-fitted by user, with 95 % intervals over users.
Nothing held out is read. Models are kept in OUT, and used again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns.arms import with_arm
from dtlns.artifacts import Artifact, open_artifact
from dtlns.candidates import make_candidates
from dtlns.config import BestConfig
from dtlns.data.views import TrainView
from dtlns.false_negative_model.classifier import FittedModel, fit_classifier
from dtlns.false_negative_model.features import World, make_features
from dtlns.false_negative_model.sources import find_candidates
from dtlns.false_negatives import FalseNegatives
from dtlns.judges.hiding import is_member
from dtlns.judges.quality import best_of_each_user, measure
from dtlns.models.base import Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.run_file import load_run_config
from dtlns.stages.calibration import rebuild_codes
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import load_hidden
from dtlns.training.result import TrainedModel
from dtlns.training.trainer import train as fit

PLACES = 100  # of a host's list; what is further down is all the same
DRAWS = 200  # of users, for intervals
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Place:
    """A training view with its candidates: features [N, F] of round 1, hidden or not [N]."""

    world: World
    features: Floats
    labels: Bools

    @property
    def users(self) -> NDArray[np.int64]:
        """int64 [N], the user of each candidate."""
        return self.world.sourced.candidates.pairs()[0]


def rebuild(run: Path, train: TrainView, hidden: Artifact) -> Place:
    """Make candidates and features of round 1 without the hidden positives."""
    found = open_artifact(run / "found", "judged")
    shrinkage = json.loads((found.path / "measured.json").read_text())["shrinkage"]
    is_hidden, scorer = load_hidden(hidden)
    visible, held = train.keep(~is_hidden), train.keep(is_hidden)
    with_trees = "trees" in found.config["groups"]
    codes = rebuild_codes(open_artifact(run / "trees", "trees"), visible, scorer) if with_trees else {}
    graph = ItemKNN.fit(visible, shrinkage=shrinkage)
    world = World(visible, scorer, graph, codes, find_candidates(scorer, graph, visible))
    labels = is_member(held.indptr, held.indices, *world.sourced.candidates.pairs())
    return Place(world, make_features(world, found.config["groups"])[1], labels)


def fit_on(places: Sequence[Place], tables: Sequence[Floats], seed: int) -> FittedModel:
    """Fit the classifier on several worlds."""
    labels, users = (np.concatenate([getattr(at, name) for at in places]) for name in ("labels", "users"))
    n_users = places[0].world.train.n_users
    return fit_classifier("boosting", np.concatenate(tables), labels, users, n_users, seed)


def host_features(world: World, host: Scorer) -> Floats:
    """Return what the features `model` are by another model: score, place, mean and largest cosine."""
    assert isinstance(host, EmbeddingScorer)
    users, items = world.sourced.candidates.pairs()
    table = make_candidates(host, world.train, min(PLACES, world.train.n_items)).items
    row, place = np.nonzero(table >= 0)
    listed = row * world.train.n_items + table[row, place]
    order = np.argsort(listed)
    wanted = users * world.train.n_items + items
    at = order[np.minimum(np.searchsorted(listed, wanted, sorter=order), len(order) - 1)]
    rank = np.where(listed[at] == wanted, place[at], PLACES)
    sourced = replace(world.sourced, model_rank=rank)
    return make_features(replace(world, scorer=host, sourced=sourced), ["model"])[1]


class Hosts:
    """Trains plain hosts and hosts with the false negatives of round 1, and keeps them.

    Args:
        out: Where they are kept.
        config: The run's; its host and its first arm.
        plain: Epochs of the plain host.
        more: Epochs of the host from there on, in passes over as many pairs as the plain one has in each.
    """

    def __init__(self, out: Path, config: BestConfig, plain: int, more: int) -> None:
        self.out, self.arm, self.seed = out, config.arms[0], config.calibration.seed
        self.plain = config.train.model_copy(update={"epochs": plain})
        # far from the plain host's seed, and from those of other runs
        self.more = self.plain.model_copy(update={"epochs": more, "seed": config.train.seed + 1000})

    def train(self, name: str, place: Place, places: Sequence[Place]) -> tuple[Scorer, Scorer]:
        """Train both in one world, told of false negatives by the others."""
        view = place.world.train
        plain = self._kept(f"{name}-plain", lambda: fit(view, self.plain, device="cpu"))

        def host() -> TrainedModel:
            pairs = self._find(place, [other for other in places if other is not place])
            size = self.arm.observed + float(pairs.weights.sum()) / view.n_interactions
            settings = with_arm(self.more, self.arm, size)
            return fit(view, settings, false_negatives=pairs, start=plain.parameters, device="cpu")

        return plain.scorer, self._kept(f"{name}-host", host).scorer

    def _find(self, place: Place, others: Sequence[Place]) -> FalseNegatives:
        fitted = fit_on(others, [other.features for other in others], self.seed)
        chances = fitted.chances(place.features, place.users)
        candidates, selection = place.world.sourced.candidates, self.arm.selection
        users, items = candidates.pairs()
        kept = best_of_each_user(users, chances, candidates.ranks(), selection.top)
        weights = np.minimum(np.float32(selection.scale) * chances[kept], np.float32(1))
        train = place.world.train
        size = {"n_users": train.n_users, "n_items": train.n_items}
        return FalseNegatives.from_pairs(users[kept], items[kept], weights, **size)

    def _kept(self, name: str, make: Callable[[], TrainedModel]) -> TrainedModel:
        folder = self.out / name
        if not (folder / "training.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make().save(folder)
            print(f"trained: {name}", flush=True)
        return TrainedModel.load(folder)


def compare(
    chances: Mapping[str, Floats],
    labels: Bools,
    users: NDArray[np.int64],
    ranks: NDArray[np.int64],
    n_users: int,
) -> None:
    """Print what each finds of the hidden positives, and by how much more than the first one.

    Args:
        chances: float32 [N] by name; users of different worlds follow each other, `n_users` in each.
        labels: bool [N].
        users: int64 [N].
        ranks: int64 [N], for ties.
        n_users: Users, whose pairs of all worlds are drawn together.
    """
    person = users % n_users
    rng = np.random.default_rng(0)
    draws = [np.ones(n_users, np.int64)]
    draws += [rng.multinomial(n_users, np.full(n_users, 1 / n_users)) for _ in range(DRAWS)]

    first: NDArray[np.float64] | None = None
    print("| features | AUC within users | average precision | found@20 | found@5 |\n" + "|---" * 5 + "|")
    for name, chance in chances.items():
        order = np.argsort(-chance, kind="stable")
        owner, hits = person[order], np.flatnonzero(labels[order])
        values = [[_precision(owner, hits, times) for times in draws]]
        for top in (20, 5):
            hit = best_of_each_user(users, chance, ranks, top) & labels
            mine = np.bincount(person, weights=hit, minlength=n_users)
            values.append([float(mine @ times) for times in draws])
        now = np.array(values)
        quality = measure(chance, labels, users)
        told = [f"{now[0, 0]:.4f}", f"{now[1, 0]:.0f}", f"{now[2, 0]:.0f}"]
        if first is None:
            first = now
        else:
            change = 100 * (now / first - 1)
            low, high = np.quantile(change[:, 1:], [0.025, 0.975], axis=1)
            told = [
                f"{text} ({change[at, 0]:+.1f} % [{low[at]:+.1f}, {high[at]:+.1f}])"
                for at, text in enumerate(told)
            ]
        print(f"| {name} | {quality['auc_within_users']:.4f} | " + " | ".join(told) + " |", flush=True)


def _precision(owner: NDArray[np.int64], hits: NDArray[np.int64], times: NDArray[np.int64]) -> float:
    """Return the average precision of pairs in order, where each user's are there so many times.

    Args:
        owner: int64 [N], the user of each pair, the likeliest pair first.
        hits: int64 [P], where the positives are.
        times: int64 [U].
    """
    above, own = np.cumsum(times[owner])[hits], times[owner[hits]]
    return float((own * np.cumsum(own) / np.maximum(above, 1)).sum() / own.sum())


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--plain", type=int, default=45, help="epochs of the plain host")
    parser.add_argument("--host", type=int, default=24, help="passes of the host from there on")
    given = parser.parse_args()
    config = load_run_config(given.run / "config.toml")
    assert isinstance(config, BestConfig)
    _, train = load_candidates(open_artifact(given.run / "candidates", "candidates"))
    hidings = [open_artifact(path, "hidden") for path in sorted(given.run.glob("hidden*"))]
    if len(hidings) < 2:
        parser.error(f"{given.run} has no second hiding")
    if config.arms[0].weight is not None:
        parser.error("the first arm gives all false negatives the same weight")
    places = [rebuild(given.run, train, hidden) for hidden in hidings]
    hosts = Hosts(given.output, config, given.plain, given.host)
    trained = [hosts.train(str(at), place, places) for at, place in enumerate(places, start=1)]

    found: dict[str, Floats] = {}
    for name, which in (("of round 1", None), ("and of the plain host", 0), ("and of the host", 1)):
        tables = [place.features for place in places]
        if which is not None:
            added = [
                host_features(place.world, pair[which]) for place, pair in zip(places, trained, strict=True)
            ]
            tables = [np.concatenate(both, axis=1) for both in zip(tables, added, strict=True)]
        found[name] = fit_on(places, tables, config.calibration.seed).calibration.out_of_fold
    users = np.concatenate([place.users + at * train.n_users for at, place in enumerate(places)])
    ranks = np.concatenate([place.world.sourced.candidates.ranks() for place in places])
    compare(found, np.concatenate([place.labels for place in places]), users, ranks, train.n_users)


if __name__ == "__main__":
    main()
