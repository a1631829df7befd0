"""Embeddings as the rest passes them on: layers of them, their rows, and how two are compared."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Similarity = Literal["inner", "cosine"]
_SOURCE = "_dtlns_row_source"


class Layers(NamedTuple):
    """Per-layer embeddings; MF has one layer, LightGCN one per hop and the input.

    Attributes:
        users: float32 [U, L, D].
        items: float32 [I, L, D].
    """

    users: Tensor
    items: Tensor


def gather_rows(table: Tensor, index: Tensor) -> Tensor:
    """Take rows of a table of layers; the gradient is deterministic.

    Args:
        table: float32 [R, L, D].
        index: int64 [...].

    Returns:
        float32 [..., L, D].
    """
    rows, layers, size = table.shape
    if hasattr(table, _SOURCE):
        return gather_chosen(table, index.unsqueeze(-1).expand(*index.shape, layers))
    taken = functional.embedding(index, table.reshape(rows, layers * size))
    return taken.view(*index.shape, layers, size)


def gather_chosen(table: Tensor, chosen: Tensor) -> Tensor:
    """Take each layer from a row of its own, as hop mixing does (MixGCF, eq. 9).

    Args:
        table: float32 [R, L, D].
        chosen: int64 [..., L], the row that gives each layer.

    Returns:
        float32 [..., L, D].

    Example:
        >>> table = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
        >>> gather_chosen(table, torch.tensor([1, 0])).tolist()
        [[3.0], [2.0]]
    """
    _, layers, size = table.shape
    at = chosen * layers + torch.arange(layers, device=chosen.device)
    source = getattr(table, _SOURCE, None)
    if source is None:
        return functional.embedding(at, table.reshape(-1, size))
    return functional.embedding(at, source, sparse=True)


def with_sparse_gradient(source: Tensor, layers: int) -> Tensor:
    """View rows as a table of layers, and let what is gathered from it have a sparse gradient.

    A batch touches a few rows of a table, but its dense gradient is as large as the table, once for each
    gather. Only a maker of tables that can take a sparse gradient, as `dtlns.models.propagation` can, may use
    this. A view or a copy of the table is an ordinary tensor again.

    Args:
        source: float32 [R · L, D]; row r · L + l is layer l of row r.
        layers: L.

    Returns:
        float32 [R, L, D].
    """
    table = source.view(-1, layers, source.shape[1])
    setattr(table, _SOURCE, source)
    return table


def comparable(vectors: Tensor, similarity: Similarity) -> Tensor:
    """Make vectors whose inner product is the similarity: of unit length for the cosine.

    Args:
        vectors: float32 [..., D].
        similarity: `inner` or `cosine`.

    Returns:
        float32 [..., D]; a zero vector stays zero.
    """
    return functional.normalize(vectors, dim=-1) if similarity == "cosine" else vectors
