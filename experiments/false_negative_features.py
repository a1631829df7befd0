"""What each group of features of the false-negative model is worth, on hidden training positives.

    python experiments/false_negative_features.py CANDIDATES HIDDEN [--trees TREES]
        [--calibration CALIBRATION] [--ease L2 | --sources]

Prints AUC and average precision (users that the fit has not seen) of groups alone and of all but one, for
both classifiers, with the CPU seconds of making the features and of fitting. With --ease: of all groups, and
of these and the score of EASE. With --sources: how many hidden positives are among the 30 best of a source,
and how many of them none of the sources before it finds. Nothing held out is read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dtlns import _core
from dtlns.artifacts import open_artifact
from dtlns.candidates import make_candidates
from dtlns.data.views import TrainView
from dtlns.false_negative_model.classifier import KINDS, Kind, fit_classifier
from dtlns.false_negative_model.features import GROUPS, Group, World, make_features
from dtlns.false_negative_model.sources import PER_SOURCE, Links, find_candidates, links
from dtlns.judges.hiding import is_member
from dtlns.judges.quality import measure
from dtlns.models.base import Scorer
from dtlns.models.ease import EASE
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.stages.calibration import OUT_OF_FOLD, rebuild_codes
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import load_hidden
from dtlns.stages.judge_chances import read_chances
from dtlns.trees import PathCodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("candidates", type=Path)
    parser.add_argument("hidden", type=Path)
    parser.add_argument("--trees", type=Path)
    parser.add_argument("--calibration", type=Path, help="of a judge")
    parser.add_argument("--shrinkage", type=float, default=0.0, help="of the item graph")
    parser.add_argument("--ease", type=float, metavar="L2")
    parser.add_argument("--sources", action="store_true")
    parser.add_argument("--classifier", choices=KINDS, action="append")
    given = parser.parse_args()

    _, train = load_candidates(open_artifact(given.candidates, "candidates"))
    is_hidden, scorer = load_hidden(open_artifact(given.hidden, "hidden"))
    visible, held = train.keep(~is_hidden), train.keep(is_hidden)
    codes, judged = {}, None
    if given.trees:
        codes = rebuild_codes(open_artifact(given.trees, "trees"), visible, scorer)
    if given.calibration:
        judged = read_chances(given.calibration / OUT_OF_FOLD, "p_hidden")
    if given.sources:
        compare_sources(visible, held, scorer, codes, given.shrinkage)
        return
    start = time.process_time()
    graph = ItemKNN.fit(visible, shrinkage=given.shrinkage)
    world = World(visible, scorer, graph, codes, find_candidates(scorer, graph, visible), judged)
    users, items = world.sourced.candidates.pairs()
    labels = is_member(held.indptr, held.indices, users, items)
    print(f"{len(users)} candidates, {labels.sum()} of {held.n_interactions} hidden positives among them")
    print(f"graph and candidates: {time.process_time() - start:.1f} s")

    columns: dict[Group, tuple[list[str], NDArray[np.float32]]] = {}
    for group in GROUPS:
        if (group != "trees" or codes) and (group != "judge" or judged):
            start = time.process_time()
            columns[group] = make_features(world, [group])
            print(f"features {group}: {time.process_time() - start:.2f} s")

    print(
        "\n| features | " + " | ".join(f"{kind}: AUC | AP | s" for kind in given.classifier or KINDS) + " |"
    )
    for name, chosen in _rows(list(columns), list(codes))[: None if given.ease is None else 1]:
        table = np.concatenate([_view(*columns[group], view) for group, view in chosen], axis=1)
        _print_row(name, table, given.classifier or KINDS, labels, users, train.n_users)
    if given.ease is not None:
        start = time.process_time()
        score = pair_scores(EASE.fit(visible, l2=given.ease), users, items)
        seconds = time.process_time() - start
        everything = np.concatenate([*(table for _, table in columns.values()), score[:, None]], axis=1)
        name = f"all and EASE ({seconds:.1f} s)"
        _print_row(name, everything, given.classifier or KINDS, labels, users, train.n_users)


def pair_scores(
    scorer: Scorer, users: NDArray[np.int64], items: NDArray[np.int64], batch: int = 1024
) -> NDArray[np.float32]:
    """Score pairs that are sorted by user, float32 [N]."""
    score = np.empty(len(users), dtype=np.float32)
    for start in range(0, scorer.n_users, batch):
        some = np.arange(start, min(start + batch, scorer.n_users))
        rows = slice(*np.searchsorted(users, [start, start + batch]))
        score[rows] = scorer.score(some)[users[rows] - start, items[rows]]
    return score


def _print_row(
    name: str,
    table: NDArray[np.float32],
    kinds: Sequence[Kind],
    labels: NDArray[np.bool_],
    users: NDArray[np.int64],
    n_users: int,
) -> None:
    cells = [_cell(kind, table, labels, users, n_users) for kind in kinds]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


Part = tuple[Group, str]  # a group, and the view that its columns are of; all columns where it is empty


def _rows(groups: list[Group], views: list[str]) -> list[tuple[str, list[Part]]]:
    """Name the sets of features: all, each alone beside `user-item`, and all but each."""
    everything: list[Part] = [(group, "") for group in groups]
    base, others = everything[:1], everything[1:]
    rows = [("all", everything), ("user-item alone", base)]
    rows += [(f"{part[0]} (with user-item)", [*base, part]) for part in others]
    rows += [(f"trees, {view} view (with user-item)", [*base, ("trees", view)]) for view in views]
    rows += [(f"all but {part[0]}", [other for other in everything if other != part]) for part in everything]
    if views:
        rows.append(("trees without user-item", [("trees", "")]))
    return rows


def _view(names: list[str], table: NDArray[np.float32], view: str) -> NDArray[np.float32]:
    return table[:, [name.startswith(view) for name in names]]


def _cell(
    kind: Kind, table: NDArray[np.float32], labels: NDArray[np.bool_], users: NDArray[np.int64], n_users: int
) -> str:
    start = time.process_time()
    found = fit_classifier(kind, table, labels, users, n_users).calibration.out_of_fold
    seconds = time.process_time() - start
    quality = measure(found, labels, users)
    return f"{quality['auc']:.3f} | {quality['average_precision']:.4f} | {seconds:.1f}"


def compare_sources(
    visible: TrainView,
    held: TrainView,
    scorer: EmbeddingScorer,
    codes: Mapping[str, PathCodes],
    shrinkage: float,
) -> None:
    """Print what each source finds, in an order in which trees come last, and longer lists for comparison."""
    knn = links(ItemKNN.fit(visible, shrinkage=shrinkage))
    graphs = {"graph": knn} | {
        f"{view} tree": neighbours(view_codes, visible) for view, view_codes in codes.items()
    }
    lists = {"model": make_candidates(scorer, visible, 2 * PER_SOURCE).items}
    for name, graph in graphs.items():
        lists[name], _ = _core.best_linked(
            graph, visible.indptr, visible.indices, visible.n_items, 2 * PER_SOURCE
        )
    print("| source | pairs | hidden found | new pairs | hidden among them |\n|---|---|---|---|---|")
    known = np.empty(0, dtype=np.int64)
    for name, items in lists.items():
        known = _report(name, items[:, :PER_SOURCE], known, held)
    both = [_keys(lists[name][:, :PER_SOURCE], held.n_items) for name in ("model", "graph")]
    for name in ("model", "graph"):
        _report(f"{name}, places 31 to 60", lists[name][:, PER_SOURCE:], np.union1d(*both), held)


def neighbours(codes: PathCodes, visible: TrainView) -> Links:
    """Link each item with those of its leaf, and half as much with those of its leaf's siblings.

    Popular items first: a link also weighs log2(1 + interactions) of the item that it leads to.
    """
    depth = codes.depth.astype(np.uint64)
    size = np.uint64(codes.bits)
    parent = np.where(depth > 1, codes.packed >> (np.uint64(64) - (np.maximum(depth, 2) - 1) * size), 0)
    leaf = _number(codes.packed, depth)
    near = _same(_number(parent, depth)) + _same(leaf)
    near.setdiag(0)
    near.eliminate_zeros()
    popular = sp.dia_array((np.log2(1 + visible.item_counts)[None], [0]), shape=near.shape)
    weighted = sp.csr_array(near @ popular)
    weighted.eliminate_zeros()
    weighted.sort_indices()
    return (
        weighted.indptr.astype(np.int64),
        weighted.indices.astype(np.uint32),
        weighted.data.astype(np.float32),
    )


def _number(*parts: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _same(label: NDArray[np.int64]) -> sp.csr_array:
    """Return ones where two items have the same label, [I, I]."""
    of = sp.csr_array((np.ones(len(label)), (np.arange(len(label)), label)))
    return sp.csr_array(of @ of.T)


def _keys(items: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    users, places = np.nonzero(items >= 0)
    return users * n_items + items[users, places]


def _report(
    name: str, items: NDArray[np.int64], known: NDArray[np.int64], held: TrainView
) -> NDArray[np.int64]:
    keys = _keys(items, held.n_items)
    hit = is_member(held.indptr, held.indices, *np.divmod(keys, held.n_items))
    new = ~np.isin(keys, known)
    print(f"| {name} | {len(keys)} | {hit.sum()} | {new.sum()} | {(hit & new).sum()} |", flush=True)
    return np.union1d(known, keys)


if __name__ == "__main__":
    main()
