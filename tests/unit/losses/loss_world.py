"""A batch with scores that are given, for losses that look at scores alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dtlns.embeddings import Layers
from dtlns.losses.base import Batch
from dtlns.training.streams import Step


def scored(
    positives: list[float], negatives: list[list[float]], *, users: list[int] | None = None, **more: Any
) -> Batch:
    """Return a batch whose pairs have these scores, [B] and [B, K].

    The user of each pair has the vector (1, 0), so that an item's score is its first number.
    """
    pairs = torch.tensor(range(len(positives)) if users is None else users)
    ids = torch.arange(len(positives) * len(negatives[0])).view(len(positives), -1)
    layers = Layers(torch.tensor([[[1.0, 0.0]]]).repeat(len(pairs), 1, 1), with_scores(positives))
    batch = Batch(
        users=pairs,
        positives=torch.arange(len(positives)),
        negatives=ids,
        whole_users=pairs,
        whole_positives=torch.arange(len(positives)),
        layers=layers,
        user_layers=layers.users,
        positive_layers=layers.items,
        negative_layers=torch.stack([with_scores(row) for row in negatives]),
        step=Step(0, 1, 0),
        pooling=lambda layered: layered.mean(dim=-2),
        similarity="inner",
    )
    return replace(batch, **more)


def with_scores(scores: list[float]) -> Tensor:
    """Return float32 [n, 1, 2]."""
    return torch.tensor([[[score, 0.5]] for score in scores])
