"""Embeddings as the rest passes them on: layers of them, their rows, and how two are compared."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn import functional

Similarity = Literal["inner", "cosine"]


class Layers(NamedTuple):
    """Per-layer embeddings; MF has one layer, LightGCN one per hop and the input.

    Attributes:
        users: float32 [U, L, D].
        items: float32 [I, L, D].
    """

    users: Tensor
    items: Tensor


def gather_rows(table: Tensor, index: Tensor) -> Tensor:
    """Take rows of a table of layers; the gradient is deterministic and dense.

    Args:
        table: float32 [R, L, D].
        index: int64 [...].

    Returns:
        float32 [..., L, D].
    """
    rows, layers, size = table.shape
    taken = functional.embedding(index, table.reshape(rows, layers * size))
    return taken.view(*index.shape, layers, size)


def comparable(vectors: Tensor, similarity: Similarity) -> Tensor:
    """Make vectors whose inner product is the similarity: of unit length for the cosine.

    Args:
        vectors: float32 [..., D].
        similarity: `inner` or `cosine`.

    Returns:
        float32 [..., D]; a zero vector stays zero.
    """
    return functional.normalize(vectors, dim=-1) if similarity == "cosine" else vectors
