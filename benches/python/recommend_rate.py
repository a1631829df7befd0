"""How fast `dtlns.recommendation` makes lists: 200,000 users, 50,000 items, 64 dimensions, 20 items each.

python benches/python/recommend_rate.py
"""

from __future__ import annotations

import resource
import time

import numpy as np
import scipy.sparse as sp

from dtlns import TrainView
from dtlns.models.embedding import EmbeddingScorer
from dtlns.recommendation import recommend

USERS, ITEMS, DIMENSIONS, HISTORY = 200_000, 50_000, 64, 10


def main() -> None:
    """Make all lists once and print the rate, CPU time and the peak memory of the process."""
    random = np.random.default_rng(0)
    items = random.integers(0, ITEMS, USERS * HISTORY)
    starts = np.arange(0, USERS * HISTORY + 1, HISTORY)
    matrix = sp.csr_array((np.ones(len(items), np.float32), items, starts), shape=(USERS, ITEMS))
    train = TrainView.from_csr(matrix > 0)
    users, vectors = (random.standard_normal((n, DIMENSIONS), dtype=np.float32) for n in (USERS, ITEMS))
    begin, cpu = time.perf_counter(), time.process_time()
    table = recommend(EmbeddingScorer(users, vectors), train, k=20)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{table.height:,} rows in {seconds:.1f} s, {cpu:.1f} s of CPU: {USERS / seconds:,.0f} users/s")
    print(f"peak memory {peak:,.0f} MB, of which the table has {table.estimated_size('mb'):,.0f} MB")


if __name__ == "__main__":
    main()
