"""The graph operator: embeddings smoothed over the user-item graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers, SeparateLayers
from dtlns.sparse import csr_tensor, uncompiled


class BipartiteGraph(nn.Module):
    """A = D^-1/2 R D^-1/2 over users and items, R having an edge for each training interaction.

    A is kept as its two blocks that are not zero. Users have few neighbours and items many: threads that
    share the rows of one block have alike work. Nodes without an edge have an empty row. The blocks move with
    the model and are in no `state_dict`.

    Args:
        train: The training interactions.

    Attributes:
        to_users: Sparse CSR, float32 [U, I].
        to_items: Its transpose, float32 [I, U].

    Example:
        >>> graph = BipartiteGraph(TrainView.from_csr(sp.csr_array([[1, 1], [0, 1]])))
        >>> graph(torch.ones(2, 4), torch.ones(2, 4), hops=3).items.shape
        torch.Size([2, 4, 4])
    """

    to_users: Tensor
    to_items: Tensor

    def __init__(self, train: TrainView) -> None:
        super().__init__()
        with np.errstate(divide="ignore"):
            scale_u = np.where(train.user_counts > 0, 1.0 / np.sqrt(train.user_counts), 0.0)
            scale_i = np.where(train.item_counts > 0, 1.0 / np.sqrt(train.item_counts), 0.0)
        block = sp.diags_array(scale_u) @ train.csr().astype(np.float64) @ sp.diags_array(scale_i)
        self.register_buffer("to_users", _tensor(block), persistent=False)
        self.register_buffer("to_items", _tensor(block.T), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the blocks are."""
        return self.to_users.device

    @uncompiled
    def forward(self, users: Tensor, items: Tensor, hops: int) -> Layers:
        """Apply all powers of A up to `hops` to embeddings: E_(l+1) = A E_l.

        Args:
            users: float32 [U, D].
            items: float32 [I, D].
            hops: Number of products.

        Returns:
            float32 [U, hops + 1, D] and [I, hops + 1, D], the input first. They have the gradients of the
            powers of the dense matrix, but none of higher order.
        """
        layers = _Powers.apply(users, items, self.to_users, self.to_items, hops)
        # rows' gradients are added up in a fixed order on the CPU alone
        return SeparateLayers(layers[::2], layers[1::2], sparse_gradients=not users.is_cuda)

    @uncompiled
    def product(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply by A once, without gradient: float32 [U, D] and [I, D], as those that are given."""
        return _multiply(self.to_users, items), _multiply(self.to_items, users)


class _Powers(torch.autograd.Function):
    """All powers of a symmetric matrix applied to the embeddings: users and items of each layer in turn.

    Backward is g_0 + A (g_1 + A (g_2 + ...)): as many sparse products as forward, with the same matrix,
    since A is symmetric. Autograd's own backward would transpose A each time. A layer's gradient may be
    sparse: that of the rows which a batch took.
    """

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, to_users: Tensor, to_items: Tensor, hops: int
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.to_users, ctx.to_items, ctx.size = to_users, to_items, users.shape[1]
        layers = [users.detach(), items.detach()]
        for _ in range(hops):
            users, items = layers[-2:]
            layers += [_multiply(to_users, items), _multiply(to_items, users)]
        return tuple(layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, Tensor, None, None, None]:
        values, size = ctx.to_users.values(), ctx.size
        users, items = (values.new_zeros(block.shape[0], size) for block in (ctx.to_users, ctx.to_items))
        for layer in range(len(grads) - 2, -1, -2):
            _add(users, grads[layer])
            _add(items, grads[layer + 1])
            if layer:
                users, items = _multiply(ctx.to_users, items), _multiply(ctx.to_items, users)
        return users, items, None, None, None


def _tensor(block: sp.sparray) -> Tensor:
    """Make a sparse CSR tensor, float32, of a SciPy matrix."""
    rows = sp.csr_array(block)
    rows.sort_indices()
    return csr_tensor(
        torch.from_numpy(rows.indptr.astype(np.int64)),
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(rows.data.astype(np.float32)),
        rows.shape,
    )


def _multiply(matrix: Tensor, nodes: Tensor) -> Tensor:
    """Multiply a sparse matrix [R, C] by embeddings [C, D], without gradient and in float32: [R, D].

    On the CPU as sums over the bags of each row's neighbours, which within a step is faster than PyTorch's
    own product of a CSR matrix: see BENCHMARKS.md.
    """
    if nodes.is_cuda:
        # without the copy of a zero matrix that `matrix @ nodes` makes first
        out = nodes.new_empty(matrix.shape[0], nodes.shape[1])
        return torch.addmm(out, matrix, nodes, beta=0, out=out)
    return functional.embedding_bag(
        matrix.col_indices(),
        nodes.detach(),
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )


def _add(total: Tensor, grad: Tensor | None) -> None:
    """Add a gradient, dense or of some rows, to float32 [R, D]."""
    if grad is not None and grad.is_sparse:
        # a row may be there twice, and making rows unique would sort them
        total.index_add_(0, grad._indices()[0], grad._values().contiguous())
    elif grad is not None:
        total += grad
