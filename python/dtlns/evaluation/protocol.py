"""Full ranking against held-out items; leak-free where nothing but real interactions is masked.

Ties are broken by item id, the lower one first: a scorer that gives everything the same score ranks the
catalogue in its own order, whatever that is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtlns.data.views import HeldOutView, TrainView
from dtlns.errors import InputError
from dtlns.evaluation.beyond import beyond_accuracy
from dtlns.evaluation.metrics import METRICS, ranking_metrics
from dtlns.models.base import Scorer, TensorScorer
from dtlns.ranking import Rows, take_rows, top_k, top_k_tensor
from dtlns.training.device import resolve_device

DEFAULT_KS = (5, 10, 20, 30, 50)
LEAK_FREE = "leak-free"
PUBLISHED = "published"
_CELLS = 16_000_000  # scores held at a time, 64 MB


@dataclass(frozen=True, eq=False)
class Result:
    """Metrics of one scorer on one held-out split.

    Attributes:
        metrics: Mean over the evaluated users, by name, such as `recall@20`.
        per_user: float64 [B] by the same names, for significance tests.
        users: int64 [B], the evaluated users: those with training interactions and held-out items.
        beyond: Coverage, Gini, novelty, popularity by name, such as `coverage@20`; see `evaluation.beyond`.
        masked: What was taken out of the ranking, such as `train`, `train+valid` or `train+enhanced`.
        cold_users: Users with held-out items but no training interaction; not evaluated.
        cold_items: Distinct held-out items without a training interaction; they stay in the denominators.
        cold_pairs: Held-out pairs of evaluated users with such items.
        pairs: Held-out pairs of evaluated users.
    """

    metrics: dict[str, float]
    per_user: dict[str, NDArray[np.float64]]
    users: NDArray[np.int64]
    beyond: dict[str, float]
    masked: str
    cold_users: int
    cold_items: int
    cold_pairs: int
    pairs: int

    @property
    def protocol(self) -> str:
        """`leak-free` if real interactions alone were masked, else `published`."""
        return LEAK_FREE if set(self.masked.split("+")) <= {"train", "valid"} else PUBLISHED

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
    also_mask: Mapping[str, Rows] | None = None,
    device: str = "cpu",
    share: Callable[[int], slice] | None = None,
) -> Result:
    """Rank all items of the training catalogue for each user and compare with held-out items.

    Args:
        scorer: Scores items.
        train: The real training interactions; they are masked, whatever the scorer was trained on.
        held_out: Validation or test pairs.
        ks: Cut-offs K.
        metrics: Some of `metrics.METRICS`.
        also_mask: What to mask besides, by name: `{"valid": data.valid}` is leak-free on test, any other
            name makes it the published protocol (see `evaluation.published`).
        device: Where to rank and count: `cpu`, `cuda`, or `auto`. On a GPU nothing comes back but metrics; a
            scorer without `score_tensor` still scores on the CPU.
        share: Which of n users to take, where several processes divide the work; None takes all.

    Returns:
        Means, values per user, what the lists are like, and counts.

    Raises:
        InputError: Sizes do not fit, a cut-off is impossible, a score is NaN, or nobody can be evaluated.
        ConfigError: The device is unknown or not there.
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
    if share is not None and len(users):
        users = users[share(len(users))]
    if not len(users):
        raise InputError("no user has both training and held-out interactions", hint="check the split")
    starts, truth = take_rows(held_out, users)
    more = also_mask or {}
    mask: Rows = union([train, *more.values()], train) if more else train
    depth, where = max(ks), resolve_device(device)
    batch = max(1, _CELLS // max(1, train.n_items))
    parts, lists = [], []
    for first in range(0, len(users), batch):
        some = users[first : first + batch]
        top = _rank(scorer, some, depth, mask, where)
        indptr = starts[first : first + len(some) + 1]
        parts.append(ranking_metrics(top, indptr - indptr[0], truth[indptr[0] : indptr[-1]], ks, metrics))
        lists.append(top)
    per_user = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Result(
        metrics={name: float(values.mean()) for name, values in per_user.items()},
        per_user=per_user,
        users=users,
        beyond=beyond_accuracy(torch.cat(lists), users, train, ks),
        masked="+".join(["train", *more]),
        cold_users=int((~warm).sum()),
        cold_items=len(np.unique(held_out.indices[_is_cold(held_out.indices, train)])),
        cold_pairs=int(_is_cold(truth, train).sum()),
        pairs=len(truth),
    )


def report(*, valid: Result | None = None, test: Result | None = None) -> dict[str, Any]:
    """Put results together as `dtlns evaluate --json` prints them.

    Args:
        valid: On the validation pairs.
        test: On the test pairs.
    """
    results = {name: result for name, result in (("valid", valid), ("test", test)) if result is not None}
    return {
        "protocol": ", ".join(dict.fromkeys(result.protocol for result in results.values())),
        "masked": {name: result.masked for name, result in results.items()},
        "users": {name: len(result.users) for name, result in results.items()},
        "counts": {name: result.counts() for name, result in results.items()},
        "beyond": {name: result.beyond for name, result in results.items()},
        **{name: result.metrics for name, result in results.items()},
    }


def _is_cold(items: NDArray[np.uint32], train: TrainView) -> NDArray[np.bool_]:
    cold = items >= train.n_items
    cold[~cold] = train.item_counts[items[~cold]] == 0
    return np.asarray(cold)


def _rank(scorer: Scorer, users: NDArray[np.int64], depth: int, mask: Rows, device: torch.device) -> Tensor:
    """Return the best unmasked items of each user, int64 [B, depth] on the device."""
    if device.type == "cpu":
        return torch.from_numpy(top_k(scorer.score(users), depth, mask=mask, users=users)[0])
    if isinstance(scorer, TensorScorer):
        scores = scorer.score_tensor(torch.from_numpy(users).to(device))
    else:
        scores = torch.from_numpy(scorer.score(users)).to(device)
    return top_k_tensor(scores, depth, mask=mask, users=users)


def union(parts: Sequence[Rows], train: TrainView) -> HeldOutView:
    """Merge rows over the training users and items; cold ones fall away."""
    keys = [np.empty(0, np.int64)]
    for view in parts:
        users = np.repeat(np.arange(len(view.indptr) - 1), np.diff(view.indptr))
        warm = (users < train.n_users) & (view.indices < train.n_items)
        keys.append(users[warm] * train.n_items + view.indices[warm].astype(np.int64))
    every = np.unique(np.concatenate(keys))
    indptr = np.searchsorted(every, np.arange(train.n_users + 1) * train.n_items).astype(np.int64)
    return HeldOutView(indptr, (every % train.n_items).astype(np.uint32), train.n_items)
