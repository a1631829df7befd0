"""How fast the false-negative model finds candidates and makes features, the graph's part beside SciPy.

python benches/python/false_negative_rate.py [USERS]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from dtlns import TrainView, _core, build_tree
from dtlns.candidates import make_candidates
from dtlns.false_negative_model.features import GROUPS, World, make_features
from dtlns.false_negative_model.sources import PER_SOURCE, find_candidates, links
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN

ITEMS, DIMENSIONS, HISTORY = 20_000, 64, 10


def timed(users: int, what: str, work: Callable[[], Any]) -> Any:
    """Run once and print CPU seconds of all threads, and the rate."""
    start = time.process_time()
    answer = work()
    seconds = time.process_time() - start
    print(f"{what}: {seconds:.2f} s of CPU, {users / seconds:,.0f} users/s", flush=True)
    return answer


def main() -> None:
    """Make a log with a popularity skew, take both steps, and compare the graph's part with SciPy's."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    random = np.random.default_rng(0)
    items = np.minimum(random.pareto(1.0, users * HISTORY) * 200, ITEMS - 1).astype(np.int64)
    starts = np.arange(0, users * HISTORY + 1, HISTORY)
    train = TrainView.from_csr(sp.csr_array((np.ones(len(items)), items, starts), shape=(users, ITEMS)) > 0)
    of_users, of_items = (random.standard_normal((n, DIMENSIONS), np.float32) for n in (users, ITEMS))
    scorer = EmbeddingScorer(of_users, of_items)
    codes = {"a": build_tree(of_items).codes}

    graph = timed(users, "item graph", lambda: ItemKNN.fit(train))
    print(f"{graph.similarity.nnz:,} links, {train.n_interactions:,} interactions")
    sourced = timed(users, "candidates of both sources", lambda: find_candidates(scorer, graph, train))
    world = World(train, scorer, graph, codes, sourced)
    for group in GROUPS:
        if group != "judge":
            timed(users, f"features {group}", lambda: make_features(world, [group]))  # noqa: B023
    print(f"{len(sourced.model_rank):,} pairs, peak memory {peak():.1f} GB")

    histories = train.indptr, train.indices, ITEMS
    ours = timed(users, "best linked", lambda: _core.best_linked(links(graph), *histories, PER_SOURCE)[1])
    theirs = timed(users, "SciPy product", lambda: make_candidates(graph, train, PER_SOURCE).scores)
    linked = np.isfinite(ours)
    assert np.array_equal(ours[linked], theirs[linked])


def peak() -> float:
    """Return the most memory that the process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
