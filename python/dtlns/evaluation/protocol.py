"""The leak-free protocol: full ranking, the real training interactions masked and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.data.views import HeldOutView, TrainView, ValidView
from dtlns.errors import InputError
from dtlns.evaluation.metrics import METRICS, ranking_metrics
from dtlns.models.base import Scorer
from dtlns.ranking import Rows, top_k

DEFAULT_KS = (5, 10, 20, 30, 50)
PROTOCOL = "leak-free"
_CELLS = 16_000_000  # scores held at a time, 64 MB


@dataclass(frozen=True, eq=False)
class Result:
    """Metrics of one scorer on one held-out split.

    Attributes:
        metrics: Mean over the evaluated users, by name, such as `recall@20`.
        per_user: float64 [B] by the same names, for significance tests.
        users: int64 [B], the evaluated users: those with training interactions and held-out items.
        masked: What was taken out of the ranking: `train`, or `train+valid`.
        cold_users: Users with held-out items but no training interaction; not evaluated.
        cold_items: Distinct held-out items without a training interaction; they stay in the denominators.
        cold_pairs: Held-out pairs of evaluated users with such items.
        pairs: Held-out pairs of evaluated users.
    """

    metrics: dict[str, float]
    per_user: dict[str, NDArray[np.float64]]
    users: NDArray[np.int64]
    masked: str
    cold_users: int
    cold_items: int
    cold_pairs: int
    pairs: int

    def counts(self) -> dict[str, int]:
        """Return how many users, pairs and cold ones there were, as JSON values."""
        return {
            "users": len(self.users),
            "pairs": self.pairs,
            "cold_users": self.cold_users,
            "cold_items": self.cold_items,
            "cold_pairs": self.cold_pairs,
        }


def evaluate(
    scorer: Scorer,
    train: TrainView,
    held_out: HeldOutView,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = METRICS,
    also_mask: ValidView | None = None,
) -> Result:
    """Rank all items of the training catalogue for each user and compare with held-out items.

    Args:
        scorer: Scores items.
        train: The real training interactions; they are masked, whatever the scorer was trained on.
        held_out: Validation or test pairs.
        ks: Cut-offs K.
        metrics: Some of `metrics.METRICS`.
        also_mask: Validation pairs to mask too, for test.

    Returns:
        Means, values per user, and counts.

    Raises:
        InputError: Sizes do not fit, a cut-off is impossible, a score is NaN, or nobody can be evaluated.
    """
    if (scorer.n_users, scorer.n_items) != (train.n_users, train.n_items):
        raise InputError(
            f"the scorer knows {scorer.n_users} users and {scorer.n_items} items",
            allowed=f"those of the training data, {train.n_users} and {train.n_items}",
        )
    if not ks or min(ks) < 1:
        raise InputError(f"cut-offs {list(ks)}", allowed="at least one, each 1 or more")
    with_pairs = held_out.users()
    warm = with_pairs < train.n_users
    warm[warm] = train.user_counts[with_pairs[warm]] > 0
    users = with_pairs[warm]
    if not len(users):
        raise InputError("no user has both training and held-out interactions", hint="check the split")
    truth = _rows(held_out.indptr, held_out.indices, users)
    mask: Rows = train if also_mask is None else _union(train, also_mask)
    depth = max(ks)
    batch = max(1, _CELLS // max(1, train.n_items))
    parts = []
    for start in range(0, len(users), batch):
        some = users[start : start + batch]
        top, _ = top_k(scorer.score(some), min(depth, train.n_items), mask=mask, users=some)
        if top.shape[1] < depth:
            top = np.pad(top, ((0, 0), (0, depth - top.shape[1])), constant_values=-1)
        stop = start + len(some)
        indptr = truth[0][start : stop + 1]
        parts.append(ranking_metrics(top, indptr - indptr[0], truth[1][indptr[0] : indptr[-1]], ks, metrics))
    per_user = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    cold = _is_cold(truth[1], train)
    return Result(
        metrics={name: float(values.mean()) for name, values in per_user.items()},
        per_user=per_user,
        users=users,
        masked="train" if also_mask is None else "train+valid",
        cold_users=int((~warm).sum()),
        cold_items=len(np.unique(held_out.indices[_is_cold(held_out.indices, train)])),
        cold_pairs=int(cold.sum()),
        pairs=len(truth[1]),
    )


def report(*, valid: Result | None = None, test: Result | None = None) -> dict[str, Any]:
    """Put results together as `dtlns evaluate --json` prints them.

    Args:
        valid: On the validation pairs.
        test: On the test pairs.
    """
    results = {name: result for name, result in (("valid", valid), ("test", test)) if result is not None}
    return {
        "protocol": PROTOCOL,
        "masked": {name: result.masked for name, result in results.items()},
        "users": {name: len(result.users) for name, result in results.items()},
        "counts": {name: result.counts() for name, result in results.items()},
        **{name: result.metrics for name, result in results.items()},
    }


def _is_cold(items: NDArray[np.uint32], train: TrainView) -> NDArray[np.bool_]:
    cold = items >= train.n_items
    cold[~cold] = train.item_counts[items[~cold]] == 0
    return np.asarray(cold)


def _rows(
    indptr: NDArray[np.int64], indices: NDArray[np.uint32], users: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Take rows of a CSR structure."""
    counts = indptr[users + 1] - indptr[users]
    taken = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    place = np.arange(taken[-1]) + np.repeat(indptr[users] - taken[:-1], counts)
    return taken, indices[place]


def _union(train: TrainView, other: HeldOutView) -> HeldOutView:
    """Merge held-out rows into the training rows; cold users and items fall away."""
    keys = []
    for view in (train, other):
        users = np.repeat(np.arange(view.n_users), np.diff(view.indptr))
        warm = (users < train.n_users) & (view.indices < train.n_items)
        keys.append(users[warm] * train.n_items + view.indices[warm].astype(np.int64))
    both = np.union1d(keys[0], keys[1])
    indptr = np.searchsorted(both, np.arange(train.n_users + 1) * train.n_items).astype(np.int64)
    return HeldOutView(indptr, (both % train.n_items).astype(np.uint32), train.n_items)
