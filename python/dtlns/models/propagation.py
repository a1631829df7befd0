"""The graph operator: embeddings smoothed over the user-item graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers, SeparateLayers
from dtlns.sparse import csr_tensor, uncompiled


@uncompiled
def propagate(users: Tensor, items: Tensor, adjacency: Tensor, hops: int) -> Layers:
    """Apply all powers of a bipartite graph's matrix up to `hops` to embeddings: E_(l+1) = A E_l.

    Args:
        users: float32 [U, D].
        items: float32 [I, D].
        adjacency: Symmetric sparse CSR, float32 [U + I, U + I], users first, with edges between users and
            items alone, as `normalized_adjacency` makes it.
        hops: Number of products.

    Returns:
        float32 [U, hops + 1, D] and [I, hops + 1, D], the input first. They have the gradients of the powers
        of the dense matrix, but none of higher order.
    """
    layers = _Propagate.apply(users, items, adjacency, hops)
    # rows' gradients are added up in a fixed order on the CPU alone
    return SeparateLayers(layers[::2], layers[1::2], sparse_gradients=not users.is_cuda)


@uncompiled
def multiply(adjacency: Tensor, nodes: Tensor) -> Tensor:
    """Multiply a sparse matrix by embeddings, without gradient and in float32.

    On the CPU as sums over the bags of each row's neighbours, which takes PyTorch half the time of its own
    product of a CSR matrix: see BENCHMARKS.md.

    Args:
        adjacency: Sparse CSR, float32 [R, C].
        nodes: float32 [C, D].

    Returns:
        float32 [R, D].
    """
    if nodes.is_cuda:
        # without the copy of a zero matrix that `adjacency @ nodes` makes first
        out = nodes.new_empty(adjacency.shape[0], nodes.shape[1])
        return torch.addmm(out, adjacency, nodes, beta=0, out=out)
    return functional.embedding_bag(
        adjacency.col_indices(),
        nodes.detach(),
        adjacency.crow_indices(),
        mode="sum",
        per_sample_weights=adjacency.values(),
        include_last_offset=True,
    )


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
    return csr_tensor(
        torch.from_numpy(whole.indptr.astype(np.int64)),
        torch.from_numpy(whole.indices.astype(np.int64)),
        torch.from_numpy(whole.data.astype(np.float32)),
        whole.shape,
    )


class _Propagate(torch.autograd.Function):
    """All powers of a symmetric matrix applied to the embeddings: users and items of each layer in turn.

    Backward is g_0 + A (g_1 + A (g_2 + ...)): as many sparse products as forward, with the same matrix,
    since A is symmetric. Autograd's own backward would transpose A each time. A layer's gradient may be
    sparse: that of the rows which a batch took.
    """

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, adjacency: Tensor, hops: int) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.to_users, ctx.to_items = _halves(adjacency, len(users))
        ctx.size = users.shape[1]
        layers = [users.detach(), items.detach()]
        for _ in range(hops):
            users, items = layers[-2:]
            layers += [multiply(ctx.to_users, items), multiply(ctx.to_items, users)]
        return tuple(layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, Tensor, None, None]:
        values, size = ctx.to_users.values(), ctx.size
        users, items = (values.new_zeros(half.shape[0], size) for half in (ctx.to_users, ctx.to_items))
        for layer in range(len(grads) - 2, -1, -2):
            _add(users, grads[layer])
            _add(items, grads[layer + 1])
            if layer:
                users, items = multiply(ctx.to_users, items), multiply(ctx.to_items, users)
        return users, items, None, None


def _halves(adjacency: Tensor, n_users: int) -> tuple[Tensor, Tensor]:
    """Split the matrix of a bipartite graph into its two blocks, [U, I] and [I, U].

    Users have few neighbours and items many: threads that share the rows of one block have alike work.
    """
    starts, columns, values = adjacency.crow_indices(), adjacency.col_indices(), adjacency.values()
    n_items, middle = adjacency.shape[0] - n_users, len(values) // 2  # each edge is there twice
    to_users = starts[: n_users + 1], columns[:middle] - n_users, values[:middle], (n_users, n_items)
    to_items = starts[n_users:] - middle, columns[middle:], values[middle:], (n_items, n_users)
    return csr_tensor(*to_users, check=False), csr_tensor(*to_items, check=False)


def _add(total: Tensor, grad: Tensor | None) -> None:
    """Add a gradient, dense or of some rows, to float32 [R, D]."""
    if grad is not None and grad.is_sparse:
        # a row may be there twice, and making rows unique would sort them
        total.index_add_(0, grad._indices()[0], grad._values().contiguous())
    elif grad is not None:
        total += grad
