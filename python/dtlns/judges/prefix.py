"""The prefix judge: how deep, and how surprisingly deep, a candidate's code reaches into a history.

The plain depth of the deepest shared prefix grows with the history, since more items mean more chances to
share one. So each view's score is the surprise of that depth for this very user, in bits: -log2 of the share
of the catalogue that reaches as deep into the same history. It is comparable between users of short and long
histories, and between a pipeline with some positives hidden and the final one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dtlns.data.views import TrainView
from dtlns.judges.base import JudgeRequest
from dtlns.trees import PathCodes, deepest_prefix


class PrefixJudge:
    """Scores each candidate by its prefix surprise in every view; needs no model and no network."""

    name = "prefix"

    def columns(self, request: JudgeRequest) -> list[str]:
        """One column per view."""
        return list(request.codes)

    def score(self, request: JudgeRequest) -> NDArray[np.float32]:
        """Return the surprise in bits, float32 [N, V], of each candidate pair in each view."""
        candidates = request.candidates
        users = np.arange(request.train.n_users, dtype=np.int64)
        exists = candidates.items >= 0
        items = np.where(exists, candidates.items, 0)
        columns = []
        for codes in request.codes.values():
            depth = deepest_prefix(codes, request.train, users, items)
            bits = -np.log2(history_coverage(codes, request.train))
            columns.append(np.take_along_axis(bits, depth.astype(np.int64), axis=1)[exists])
        return np.stack(columns, axis=1).astype(np.float32)


def history_coverage(codes: PathCodes, train: TrainView) -> NDArray[np.float64]:
    """Share of the catalogue that reaches at least depth t into each user's history.

    Args:
        codes: Path codes [I].
        train: The histories.

    Returns:
        float64 [U, T + 1] in (0, 1] for depths 0..T; where nothing reaches a depth, the share of one item.
    """
    n_items = len(codes)
    depths = np.arange(1, codes.max_depth + 1)
    covered = np.zeros((train.n_users, len(depths) + 1), dtype=np.float64)
    covered[:, 0] = n_items
    users = train.user_of_interaction.astype(np.int64)
    for t in depths:
        reaches = codes.depth >= t
        prefix = codes.packed >> np.uint64(64 - int(t) * codes.bits)
        _, node, size = np.unique(prefix[reaches], return_inverse=True, return_counts=True)
        node_of_item = np.full(n_items, -1, dtype=np.int64)
        node_of_item[reaches] = node
        touched = node_of_item[train.indices]
        inside = touched >= 0
        once = np.unique(users[inside] * len(size) + touched[inside]) if len(size) else np.empty(0, np.int64)
        if once.size:
            np.add.at(covered[:, t], once // len(size), size[once % len(size)])
    return np.maximum(covered, 1) / n_items
