"""Ranking metrics from top-K lists and held-out items, vectorised over users.

For a user with the set P of held-out items and the ranking r_1 ... r_K, with hit_j = 1 if r_j is in P:

- Recall@K = Σ hit_j / |P|
- Precision@K = Σ hit_j / K
- HitRate@K = 1 if any hit, else 0
- NDCG@K = Σ hit_j / log2(j + 1), over the same sum for min(K, |P|) hits in front (binary gains)
- MRR@K = 1 / (first j with a hit), 0 without one
- MAP@K = Σ hit_j · Precision@j, over min(K, |P|)

A list that is shorter than K, because fewer items are left, is padded with -1, which is never a hit.
Source: Järvelin and Kekäläinen (2002) for DCG; Manning et al., Introduction to Information Retrieval, ch. 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dtlns.errors import InputError

METRICS = ("recall", "ndcg", "precision", "hit_rate", "mrr", "map")


def ranking_metrics(
    top: NDArray[np.int64],
    indptr: NDArray[np.int64],
    indices: NDArray[np.uint32],
    ks: Sequence[int],
    metrics: Sequence[str] = METRICS,
) -> dict[str, NDArray[np.float64]]:
    """Compute metrics per user.

    Args:
        top: int64 [B, K_max], item ids, best first, -1 where a list ends early.
        indptr: int64 [B + 1], where each user's held-out items start; each user needs at least one.
        indices: uint32, held-out items, strictly increasing within a user.
        ks: Cut-offs K, each at most K_max.
        metrics: Some of `METRICS`.

    Returns:
        float64 [B] by name, such as `recall@20`.

    Raises:
        InputError: A cut-off or a name is not possible, or a user has no held-out item.

    Example:
        >>> top = np.array([[4, 2, 7]])
        >>> ranking_metrics(top, np.array([0, 2]), np.array([2, 9]), [3])["recall@3"].tolist()
        [0.5]
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise InputError(f"unknown metric {unknown[0]!r}", allowed=", ".join(METRICS))
    if any(k < 1 or k > top.shape[1] for k in ks):
        raise InputError(f"cut-offs {list(ks)}", allowed=f"1 to {top.shape[1]}, the length of the lists")
    positives = np.diff(indptr)
    if len(positives) != len(top):
        raise InputError(f"{len(top)} lists but held-out items of {len(positives)} users")
    if (positives < 1).any():
        raise InputError(f"row {int(np.argmin(positives))} has no held-out item", allowed="at least one")
    hits = find_hits(top, indptr, indices)
    ranks = np.arange(1, top.shape[1] + 1, dtype=np.float64)
    discount = 1.0 / np.log2(ranks + 1.0)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    count = np.cumsum(hits, axis=1, dtype=np.float64)
    gain = np.cumsum(hits * discount, axis=1)
    precision_sum = np.cumsum(hits * count / ranks, axis=1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.iinfo(np.int64).max)
    found: dict[str, NDArray[np.float64]] = {}
    for k in ks:
        at_k, reachable = count[:, k - 1], np.minimum(positives, k)
        values = {
            "recall": at_k / positives,
            "ndcg": gain[:, k - 1] / ideal[reachable],
            "precision": at_k / k,
            "hit_rate": (at_k > 0).astype(np.float64),
            "mrr": np.where(first <= k, 1.0 / first, 0.0),
            "map": precision_sum[:, k - 1] / reachable,
        }
        found |= {f"{name}@{k}": values[name] for name in metrics}
    return found


def find_hits(
    top: NDArray[np.int64], indptr: NDArray[np.int64], indices: NDArray[np.uint32]
) -> NDArray[np.bool_]:
    """Mark which listed items are held out: bool [B, K].

    Args:
        top: int64 [B, K], -1 where a list ends early.
        indptr: int64 [B + 1].
        indices: uint32, strictly increasing within a user.
    """
    if not len(indices):
        return np.zeros(top.shape, dtype=bool)
    # one sorted array of (row, item) keys answers all look-ups
    width = max(int(indices.max()), int(top.max(initial=0))) + 2
    keys = np.repeat(np.arange(len(top)), np.diff(indptr)) * width + indices.astype(np.int64)
    wanted = np.arange(len(top))[:, None] * width + np.where(top < 0, width - 1, top)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[place] == wanted)
