"""What a data set looks like in numbers, and what may go wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from dtlns.data.dataset import Dataset
from dtlns.data.views import HeldOutView, TrainView

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def dataset_statistics(dataset: Dataset) -> dict[str, Any]:
    """Count what is in a data set; degrees and components are those of the training rows.

    Args:
        dataset: The data set.

    Returns:
        JSON values: sizes, splits, density, degree quantiles, components of the item graph (two items are
        connected when a chain of shared users leads from one to the other), cold ids and pairs, time range,
        and warnings.

    Example:
        >>> dataset_statistics(load_dataset("movielens"))["train"]["items"]  # doctest: +SKIP
        2078
    """
    train = dataset.train
    statistics: dict[str, Any] = {
        "name": dataset.name,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": sum(
            dataset.facts["tables"][split]["rows"]
            for split in ("train", "valid", "test")
            if split in dataset.facts["tables"]
        ),
        "split": dataset.split,
        "train": _train(train),
        "notes": list(dataset.notes),
    }
    for name, view in (("valid", dataset.valid), ("test", dataset.test)):
        if view is not None:
            statistics[name] = _held_out(view, train)
    statistics["cold_users"] = dataset.n_users - dataset.n_train_users
    statistics["cold_items"] = dataset.n_items - dataset.n_train_items
    statistics["warnings"] = _warnings(train, statistics)
    return statistics


def item_components(train: TrainView) -> NDArray[np.int64]:
    """Return the component of each item in the graph where shared users connect items.

    Args:
        train: The training interactions.

    Returns:
        int64 [I], labels from 0; an item without a shared user has a component of its own.
    """
    users, items = train.n_users, train.n_items
    matrix = train.csr()
    # Users and items as one bipartite graph: its components, seen from the items, are those of the item graph
    # without the item-by-item matrix, which would be far larger.
    graph = sp.block_array(
        [[None, matrix], [sp.csr_array((items, users), dtype=np.float32), None]], format="csr"
    )
    _, labels = connected_components(graph, directed=False)
    _, dense = np.unique(labels[users:], return_inverse=True)
    return dense.astype(np.int64)


def _train(train: TrainView) -> dict[str, Any]:
    sizes = np.sort(np.bincount(item_components(train)))[::-1]
    facts: dict[str, Any] = {
        "users": train.n_users,
        "items": train.n_items,
        "interactions": train.n_interactions,
        "density": train.n_interactions / (train.n_users * train.n_items),
        "weighted": train.weights is not None,
        "interactions_per_user": _quantiles(train.user_counts),
        "interactions_per_item": _quantiles(train.item_counts),
        "item_graph": {
            "components": len(sizes),
            "largest": int(sizes[0]),
            "isolated_items": int((sizes == 1).sum()),
        },
    }
    if train.timestamps is not None:
        facts["time"] = [_iso(train.timestamps.min()), _iso(train.timestamps.max())]
    return facts


def _held_out(view: HeldOutView, train: TrainView) -> dict[str, Any]:
    users = np.repeat(np.arange(view.n_users), np.diff(view.indptr))
    cold_user, cold_item = users >= train.n_users, view.indices >= train.n_items
    return {
        "users": len(view.users()),
        "interactions": view.n_interactions,
        "pairs_with_cold_user": int(cold_user.sum()),
        "pairs_with_cold_item": int(cold_item.sum()),
        "cold_pairs": int((cold_user | cold_item).sum()),
    }


def _warnings(train: TrainView, statistics: dict[str, Any]) -> list[str]:
    found = []
    if full := int((train.user_counts == train.n_items).sum()):
        found.append(f"{full:,} users have all items, so no negative can be drawn for them")
    if silent := int((train.user_counts == 0).sum()):
        found.append(f"{silent:,} training users have no training interaction")
    if unseen := int((train.item_counts == 0).sum()):
        found.append(f"{unseen:,} items of the catalogue have no training interaction")
    if isolated := statistics["train"]["item_graph"]["isolated_items"]:
        found.append(f"{isolated:,} items share no user with another item")
    if "test" not in statistics and "valid" not in statistics:
        found.append("there is no split yet (`dtlns data split`)")
    elif "valid" not in statistics:
        found.append(
            "there are no validation rows, so no epoch can be chosen (`dtlns data split --keep-test`)"
        )
    return found


def _quantiles(counts: NDArray[np.int64]) -> dict[str, float]:
    values = np.quantile(counts, QUANTILES, method="inverted_cdf")
    quantiles = {f"{quantile:g}": int(value) for quantile, value in zip(QUANTILES, values, strict=True)}
    return {"mean": round(float(counts.mean()), 3), **quantiles}


def _iso(seconds: np.int64) -> str | int:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return int(seconds)  # years that a calendar does not reach
