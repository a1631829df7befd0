"""The graph operator: embeddings smoothed over the user-item graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers


def propagate(nodes: Tensor, adjacency: Tensor, hops: int, n_users: int) -> Layers:
    """Apply all powers of a symmetric matrix up to `hops` to embeddings: E_(l+1) = A E_l.

    Args:
        nodes: float32 [U + I, D], users first.
        adjacency: Symmetric sparse CSR, float32 [U + I, U + I].
        hops: Number of products.
        n_users: U.

    Returns:
        float32 [U, hops + 1, D] and [I, hops + 1, D], the input first.
    """
    users, items = _Propagate.apply(nodes, adjacency, hops, n_users)
    return Layers(users, items)


def normalized_adjacency(train: TrainView) -> Tensor:
    """Return D^-1/2 A D^-1/2 of the bipartite graph as a sparse CSR tensor, float32 [U + I, U + I].

    Nodes without an edge have an empty row.
    """
    interactions = train.csr().astype(np.float64)
    with np.errstate(divide="ignore"):
        scale_u = np.where(train.user_counts > 0, 1.0 / np.sqrt(train.user_counts), 0.0)
        scale_i = np.where(train.item_counts > 0, 1.0 / np.sqrt(train.item_counts), 0.0)
    block = sp.diags_array(scale_u) @ interactions @ sp.diags_array(scale_i)
    whole = sp.csr_array(sp.block_array([[None, block], [block.T, None]]))
    whole.sort_indices()
    with warnings.catch_warnings():
        # PyTorch says once that its CSR layout is in beta; the product used here is covered by our tests
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(
            torch.from_numpy(whole.indptr.astype(np.int32)),
            torch.from_numpy(whole.indices.astype(np.int32)),
            torch.from_numpy(whole.data.astype(np.float32)),
            size=whole.shape,
            check_invariants=True,
        )


class _Propagate(torch.autograd.Function):
    """All powers of a symmetric matrix applied to the embeddings.

    Backward is g_0 + A (g_1 + A (g_2 + ...)): as many sparse products as forward, with the same matrix,
    since A is symmetric. Autograd's own backward would transpose A each time.
    """

    @staticmethod
    def forward(ctx: Any, nodes: Tensor, adjacency: Tensor, hops: int, n_users: int) -> tuple[Tensor, Tensor]:
        ctx.adjacency = adjacency
        size = nodes.shape[1]
        users = nodes.new_empty(n_users, hops + 1, size)
        items = nodes.new_empty(nodes.shape[0] - n_users, hops + 1, size)
        current = nodes
        for hop in range(hops + 1):
            if hop:
                current = _product(adjacency, current)
            users[:, hop] = current[:n_users]
            items[:, hop] = current[n_users:]
        return users, items

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        users, items = grads
        total = torch.cat([users[:, -1], items[:, -1]])
        for hop in range(users.shape[1] - 2, -1, -1):
            total = _product(ctx.adjacency, total)
            total[: len(users)] += users[:, hop]
            total[len(users) :] += items[:, hop]
        return total, None, None, None


def _product(adjacency: Tensor, nodes: Tensor) -> Tensor:
    """Multiply without the copy of a zero matrix that `adjacency @ nodes` makes first."""
    out = torch.empty_like(nodes)
    return torch.addmm(out, adjacency, nodes, beta=0, out=out)
