"""The graph operator against dense matrices: products, powers, and gradients of whole tables and of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers, gather_rows
from dtlns.models.propagation import BipartiteGraph

USERS, ITEMS, SIZE, HOPS = 7, 5, 3, 3


@pytest.fixture
def graph() -> BipartiteGraph:
    pairs = sp.random_array((USERS, ITEMS), density=0.4, rng=np.random.default_rng(0)) > 0
    pairs = pairs.tolil()
    pairs[2], pairs[:, 4] = False, False  # nodes without an edge
    return BipartiteGraph(TrainView.from_csr(sp.csr_array(pairs)))


@pytest.fixture
def nodes() -> Tensor:
    return torch.randn(USERS + ITEMS, SIZE, generator=torch.Generator().manual_seed(1)).requires_grad_()


def dense(graph: BipartiteGraph) -> Tensor:
    """The whole matrix, [U + I, U + I]."""
    whole = torch.zeros(USERS + ITEMS, USERS + ITEMS)
    whole[:USERS, USERS:] = graph.to_users.to_dense()
    whole[USERS:, :USERS] = graph.to_users.to_dense().T
    return whole


def dense_layers(nodes: Tensor, graph: BipartiteGraph) -> Layers:
    """The same powers with a dense matrix, and autograd's own gradient."""
    powers = [torch.linalg.matrix_power(dense(graph), hop) @ nodes for hop in range(HOPS + 1)]
    stacked = torch.stack(powers, dim=1)
    return Layers(stacked[:USERS], stacked[USERS:])


def test_product_equals_that_of_the_dense_matrix(graph: BipartiteGraph, nodes: Tensor) -> None:
    product = torch.cat(graph.product(nodes[:USERS], nodes[USERS:]))
    torch.testing.assert_close(product, (dense(graph) @ nodes).detach())


def rows_of_both(layers: Layers) -> Tensor:
    users = layers.user_rows(torch.tensor([1, 2, 1, 6]))  # a row twice
    items = layers.item_rows(torch.tensor([[0, 4], [0, 1], [3, 3], [2, 0]]))
    mixed = layers.chosen_items(torch.tensor([[0, 1, 2, 3], [4, 0, 0, 4], [3, 3, 3, 3], [1, 0, 2, 4]]))
    return (users * items.sum(dim=1)).square().sum() + (users * mixed).sum()


def rows_of_users(layers: Layers) -> Tensor:
    return layers.user_rows(torch.tensor([0, 3])).square().sum()


def whole_items(layers: Layers) -> Tensor:
    return layers.items.square().sum()


def rows_and_whole(layers: Layers) -> Tensor:
    pooled = layers.users.mean(dim=1) @ layers.items.mean(dim=1).T
    return rows_of_both(layers) + pooled.square().sum()


@pytest.mark.parametrize("loss", [rows_of_both, rows_of_users, whole_items, rows_and_whole])
def test_gradient_equals_that_of_the_dense_graph(
    loss: Callable[[Layers], Tensor], graph: BipartiteGraph, nodes: Tensor
) -> None:
    value = loss(graph(nodes[:USERS], nodes[USERS:], HOPS))
    expected = loss(dense_layers(nodes, graph))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, nodes), torch.autograd.grad(expected, nodes))


def test_gradient_of_gathered_rows_is_the_same_each_time(graph: BipartiteGraph, nodes: Tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    index = torch.randint(0, ITEMS, (5000,), generator=generator)
    factors = torch.randn(5000, HOPS + 1, SIZE, generator=generator)

    def gradient() -> Tensor:
        items = graph(nodes[:USERS], nodes[USERS:], HOPS).item_rows(index)
        return torch.autograd.grad((items * factors).sum(), nodes)[0]

    first = gradient()
    assert all(torch.equal(gradient(), first) for _ in range(5))


def test_a_table_has_an_ordinary_gradient(graph: BipartiteGraph, nodes: Tensor) -> None:
    users = graph(nodes[:USERS], nodes[USERS:], HOPS).users[:, 1:]
    taken = gather_rows(users, torch.tensor([5, 0]))
    (gradient,) = torch.autograd.grad(taken.square().sum(), nodes)
    expected = dense_layers(nodes, graph).users[:, 1:][torch.tensor([5, 0])]
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.square().sum(), nodes)[0])
