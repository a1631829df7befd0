"""Embeddings as the rest passes them on: layers of them, their rows, and how two are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Similarity = Literal["inner", "cosine"]


class Layers:
    """Per-layer embeddings of all users and all items; MF has one layer, LightGCN one per hop and the input.

    Args:
        users: float32 [U, L, D].
        items: float32 [I, L, D].

    Example:
        >>> users, items = Layers(torch.zeros(3, 2, 4), torch.ones(5, 2, 4))
        >>> Layers(users, items).item_rows(torch.tensor([1, 1, 0])).shape
        torch.Size([3, 2, 4])
    """

    def __init__(self, users: Tensor, items: Tensor) -> None:
        self._users, self._items = users, items

    @property
    def users(self) -> Tensor:
        """float32 [U, L, D]."""
        return self._users

    @property
    def items(self) -> Tensor:
        """float32 [I, L, D]."""
        return self._items

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.users, self.items))

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return len(self.items)

    @property
    def n_layers(self) -> int:
        """Number of layers, L."""
        return self.items.shape[1]

    def user_rows(self, index: Tensor) -> Tensor:
        """Take users: int64 [...] -> float32 [..., L, D]; the gradient is deterministic."""
        return gather_rows(self.users, index)

    def item_rows(self, index: Tensor) -> Tensor:
        """Take items: int64 [...] -> float32 [..., L, D]; the gradient is deterministic."""
        return gather_rows(self.items, index)

    def chosen_items(self, chosen: Tensor) -> Tensor:
        """Take each layer from an item of its own: int64 [..., L] -> float32 [..., L, D]."""
        return gather_chosen(self.items, chosen)

    def each_item_layer(self) -> tuple[Tensor, ...]:
        """Return the items layer by layer: L times float32 [I, D]."""
        return self.items.unbind(1)


class SeparateLayers(Layers):
    """Layers that a model makes one after the other, which become a table only when somebody asks for it.

    A batch touches a few rows: so a table of all layers, and the dense gradient of it for each gather, would
    cost more than the rows themselves.

    Args:
        users: L times float32 [U, D].
        items: L times float32 [I, D].
        sparse_gradients: What is gathered from a layer gives it a sparse gradient. Only for layers whose
            maker takes both kinds, as `dtlns.models.propagation` does.
    """

    def __init__(self, users: Sequence[Tensor], items: Sequence[Tensor], *, sparse_gradients: bool) -> None:
        self._each_user, self._each_item = tuple(users), tuple(items)
        self._sparse = sparse_gradients

    @cached_property
    def users(self) -> Tensor:
        """float32 [U, L, D]."""
        with torch.enable_grad():  # it is kept: whoever asks first may want no gradient, the next one does
            return torch.stack(self._each_user, dim=1)

    @cached_property
    def items(self) -> Tensor:
        """float32 [I, L, D]."""
        with torch.enable_grad():  # it is kept: whoever asks first may want no gradient, the next one does
            return torch.stack(self._each_item, dim=1)

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return len(self._each_user[0])

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return len(self._each_item[0])

    @property
    def n_layers(self) -> int:
        """Number of layers, L."""
        return len(self._each_item)

    def user_rows(self, index: Tensor) -> Tensor:
        """Take users; see `Layers.user_rows`."""
        return self._stacked(self._each_user, [index] * self.n_layers)

    def item_rows(self, index: Tensor) -> Tensor:
        """Take items; see `Layers.item_rows`."""
        return self._stacked(self._each_item, [index] * self.n_layers)

    def chosen_items(self, chosen: Tensor) -> Tensor:
        """Take each layer from an item of its own; see `Layers.chosen_items`."""
        return self._stacked(self._each_item, chosen.unbind(-1))

    def each_item_layer(self) -> tuple[Tensor, ...]:
        """Return the items layer by layer: L times float32 [I, D]."""
        return self._each_item

    def _stacked(self, tables: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
        sparse = self._sparse and not torch.compiler.is_compiling()  # which has no sparse gradients
        pairs = zip(rows, tables, strict=True)
        return torch.stack(
            [functional.embedding(index, table, sparse=sparse) for index, table in pairs], dim=-2
        )


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
    return functional.embedding(at, table.reshape(-1, size))


def comparable(vectors: Tensor, similarity: Similarity) -> Tensor:
    """Make vectors whose inner product is the similarity: of unit length for the cosine.

    Args:
        vectors: float32 [..., D].
        similarity: `inner` or `cosine`.

    Returns:
        float32 [..., D]; a zero vector stays zero.
    """
    return functional.normalize(vectors, dim=-1) if similarity == "cosine" else vectors
