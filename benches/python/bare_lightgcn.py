"""LightGCN's step written out by hand in PyTorch operations: what a trainer on top of them can reach at best.

Three layers, BPR, L2 on the input embeddings, fused Adam. The gradient of the propagation is written by hand,
as g + A (g + A (g + A g)); autograd sees the rows of a batch alone. The mean of the layers is made by the
same nesting, so that no layer is kept. Negatives are any items, drawn for the whole epoch at once; nothing is
validated, checked, or replayable.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dtlns import TrainView
from dtlns.models.propagation import BipartiteGraph

HOPS, L2 = 3, 1e-4


def smoothed(graph: BipartiteGraph, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return E + A (E + A (E + A E)), which is its own transpose."""
    u, i = users, items
    for _ in range(HOPS):
        u, i = graph.product(u, i)
        u += users
        i += items
    return u, i


def bare_epochs(train: TrainView, size: int, batch: int) -> Callable[[], None]:
    """Return what trains one more epoch."""
    graph = BipartiteGraph(train)
    tables = [torch.nn.Parameter(0.1 * torch.randn(n, size)) for n in (train.n_users, train.n_items)]
    adam = torch.optim.Adam(tables, lr=1e-3, fused=True)
    users = torch.from_numpy(train.user_of_interaction.astype(np.int64))
    items = torch.from_numpy(train.indices.astype(np.int64))

    def step(ids: tuple[Tensor, Tensor, Tensor]) -> None:
        inputs = [table.detach() for table in tables]
        pooled = smoothed(graph, inputs[0], inputs[1])
        places = list(zip((0, 1, 1), ids, strict=True))  # users, positives, negatives
        final = [(pooled[side][of] / (HOPS + 1)).requires_grad_() for side, of in places]
        first = [inputs[side][of].requires_grad_() for side, of in places]
        user, positive, negative = final
        loss = functional.softplus((user * (negative - positive)).sum(1)).mean()
        loss = loss + 0.5 * L2 * torch.stack([rows.square().sum() for rows in first]).sum() / len(user)
        loss.backward()  # type: ignore[no-untyped-call]
        grads = [torch.zeros_like(table) for table in inputs]
        for (side, of), rows in zip(places, final, strict=True):
            grads[side].index_add_(0, of, rows.grad / (HOPS + 1))
        totals = smoothed(graph, grads[0], grads[1])
        for (side, of), rows in zip(places, first, strict=True):
            totals[side].index_add_(0, of, rows.grad)
        for table, total in zip(tables, totals, strict=True):
            table.grad = total
        adam.step()

    def epoch() -> None:
        negatives = torch.randint(train.n_items, items.shape)
        for rows in torch.randperm(len(users)).split(batch):
            step((users[rows], items[rows], negatives[rows]))

    return epoch
