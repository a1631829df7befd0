"""UltraGCN: no propagation; what infinitely many hops would lead to is written into the loss."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dtlns._border import integer, real
from dtlns.data.views import MAX_ID, TrainView
from dtlns.embeddings import Layers
from dtlns.losses.base import Batch, Loss
from dtlns.models.base import EmbeddingModel
from dtlns.ranking import top_k
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step, torch_generator

_BLOCK_NUMBERS = 2**22  # of each of the few matrices that a block needs, 32 MB in float64


class UltraGCN(EmbeddingModel):
    """Embeddings of one layer, and for each pair (u, i) with negatives n the loss of its own

    (w1 + w2 β_ui) softplus(-s_ui) + negative_weight · mean_n (w3 + w4 β_un) softplus(s_un)
    + item_weight · Σ_(j in S(i)) ω_ij softplus(-s_uj),

    with β_ui = 1 / d_u · sqrt((d_u + 1) / (d_i + 1)), S(i) the `neighbours` items with the largest ω_ij, and
    ω_ij = G_ij / (g_i - G_ii) · sqrt(g_i / g_j), G = R^T R, g its row sums. The first line is L_O + λ L_C as
    the authors' code weighs it.

    It wants hundreds of negatives for each positive (`negatives` of the sampler; 200 to 1,500 in the authors'
    settings), and where a batch shares them they cost one product of matrices. Besides the embeddings it
    holds 12 bytes for each item and neighbour, and about 100 MB while it is built.

    Source: Mao et al., UltraGCN: Ultra simplification of graph convolutional networks for recommendation
    (CIKM 2021), losses L_C, L_O and L_I; defaults from the authors' code for Gowalla. Three things differ. An
    item is no neighbour of itself, as in the paper (in the code it is, and 1 is added to the g under the
    roots). Negatives are none of the user's own items (the code does not look). L2 is that of all models
    here, on the batch's embeddings, where theirs is γ / 2 times the squares of both tables beside a sum over
    the batch: l2 = γ U / W is about as strong.

    Args:
        train: The training interactions.
        dimensions: D.
        w1: Weight of a positive.
        w2: Weight of its β.
        w3: Weight of a negative.
        w4: Weight of its β.
        negative_weight: Of all negatives of a pair together.
        item_weight: Of the item-item loss; λ in the authors' code.
        neighbours: Size of S(i).
        initial_std: Standard deviation of the initial embeddings.
        seed: Of the initial embeddings.

    Raises:
        InputError: A number is out of range.
    """

    default_loss = None
    option_names = (
        "w1",
        "w2",
        "w3",
        "w4",
        "negative_weight",
        "item_weight",
        "neighbours",
        "initial_std",
    )
    user_scale: Tensor
    item_scale: Tensor
    neighbours: Tensor
    omega: Tensor

    def __init__(
        self,
        train: TrainView,
        dimensions: int,
        *,
        w1: float = 1e-6,
        w2: float = 1.0,
        w3: float = 1e-6,
        w4: float = 1.0,
        negative_weight: float = 300.0,
        item_weight: float = 5e-4,
        neighbours: int = 10,
        initial_std: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_users, self.n_items = train.n_users, train.n_items
        self.positive_weights = real("w1", w1, 0.0), real("w2", w2, 0.0)
        self.negative_weights = real("w3", w3, 0.0), real("w4", w4, 0.0)
        self.negative_weight = real("negative_weight", negative_weight, 0.0)
        self.item_weight = real("item_weight", item_weight, 0.0)
        std = real("initial_std", initial_std, 0.0, above=True)
        nearest, omega = item_neighbours(train, integer("neighbours", neighbours, 1, MAX_ID))
        self.user_embeddings = _normal(train.n_users, dimensions, std, seed, "init users")
        self.item_embeddings = _normal(train.n_items, dimensions, std, seed, "init items")
        user_scale, item_scale = degree_scales(train)
        for name, array in (
            ("user_scale", user_scale),
            ("item_scale", item_scale),
            ("neighbours", nearest),
            ("omega", omega),
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model; see `EmbeddingModel.build`."""
        return cls(train, config.dimensions, seed=seed, **config.options)

    def layers(self, step: Step | None = None) -> Layers:
        """Return the embeddings themselves, as one layer."""
        return Layers(self.user_embeddings.unsqueeze(1), self.item_embeddings.unsqueeze(1))

    def pair_losses(self, batch: Batch, loss: Loss | None) -> Tensor:
        """Rate each pair: float32 [B]."""
        users = self.user_scale[batch.users]
        w1, w2 = self.positive_weights
        positive = w1 + w2 * users * self.item_scale[batch.positives]
        w3, w4 = self.negative_weights
        negative = w3 + w4 * users.unsqueeze(1) * self.item_scale[batch.negatives]
        losses = positive * functional.softplus(-batch.positive_scores)
        pushed = negative * functional.softplus(batch.negative_scores)
        losses = losses + self.negative_weight * batch.mean_over_negatives(pushed)
        if self.item_weight:
            losses = losses + self.item_weight * self._neighbour_losses(batch)
        return losses

    def _neighbour_losses(self, batch: Batch) -> Tensor:
        """Return Σ_j ω_ij softplus(-s_uj) over the neighbours of each pair's item: float32 [B]."""
        near = batch.vectors(batch.layers.item_rows(self.neighbours[batch.positives]))
        scores = torch.bmm(near, batch.user_vectors.unsqueeze(2)).squeeze(2)
        return (self.omega[batch.positives] * functional.softplus(-scores)).sum(dim=1)


def degree_scales(train: TrainView) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the two factors of β_ui: sqrt(d_u + 1) / d_u and 1 / sqrt(d_i + 1), float32 [U] and [I].

    A user without interactions counts as one with one: she can have pairs from false negatives.
    """
    users = np.maximum(train.user_counts, 1).astype(np.float64)
    items = train.item_counts.astype(np.float64)
    return (np.sqrt(users + 1) / users).astype(np.float32), (1 / np.sqrt(items + 1)).astype(np.float32)


def item_neighbours(train: TrainView, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find each item's k neighbours with the largest ω_ij = G_ij / (g_i - G_ii) · sqrt(g_i / g_j), exactly.

    Rows of G = R^T R are made a block at a time.

    Args:
        train: The training interactions.
        k: Neighbours to keep.

    Returns:
        Their ids, int64 [I, k], the nearest first, the lower id first among equals, and ω, float32 [I, k]. An
        item that shares users with fewer has itself in the places left, with ω = 0.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 1, 0], [0, 0, 1]]))
        >>> ids, omega = item_neighbours(train, 1)
        >>> ids[:, 0].tolist(), omega[:, 0].tolist()
        ([1, 0, 2], [1.0, 1.0, 0.0])
    """
    observed = train.csr().astype(np.float64)
    by_item = observed.T.tocsr()
    counts = train.item_counts.astype(np.float64)
    sums = by_item @ train.user_counts.astype(np.float64)
    # 0 for what shares no user with anything
    others = np.maximum(sums - counts, 1)
    of_row, of_column = np.sqrt(sums) / others, 1 / np.sqrt(np.maximum(sums, 1))
    ids = np.empty((train.n_items, k), dtype=np.int64)
    omega = np.empty((train.n_items, k), dtype=np.float32)
    block = max(1, _BLOCK_NUMBERS // max(1, train.n_items))
    for start in range(0, train.n_items, block):
        rows = np.arange(start, min(start + block, train.n_items))
        shared = (by_item[rows] @ observed).toarray()
        shared[np.arange(len(rows)), rows] = 0
        found, best = top_k((of_row[rows, None] * shared * of_column).astype(np.float32), k)
        real_ones = best > 0
        ids[rows] = np.where(real_ones, found, rows[:, None])
        omega[rows] = np.where(real_ones, best, 0)
    return ids, omega


def _normal(rows: int, dimensions: int, std: float, seed: int, purpose: str) -> nn.Parameter:
    """Return a table with normal entries, float32 [rows, D]."""
    return nn.Parameter(std * torch.randn(rows, dimensions, generator=torch_generator(seed, purpose)))
