"""One training step as a module: embeddings, negatives and loss of one batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from dtlns.embeddings import Similarity
from dtlns.losses.base import Batch, Loss
from dtlns.models.base import EmbeddingModel
from dtlns.samplers.base import DrawContext, Prepared, Sampler, SamplingContext
from dtlns.training.settings import Precision
from dtlns.training.streams import Step


class TrainStep(nn.Module):
    """Turns a batch into the number that training lowers.

    Args:
        model: Gives embeddings.
        sampler: Gives negatives; its parameters are trained too.
        loss: Rates pairs; None for a model that does it itself.
        similarity: How vectors are compared.
        l2: Weight of half the mean squared norm of the batch's layer-0 embeddings.
        precision: `bfloat16` for scores and losses in mixed precision.
        processes: How many processes share a batch.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        sampler: Sampler,
        loss: Loss | None,
        *,
        similarity: Similarity,
        l2: float,
        precision: Precision = "float32",
        processes: int = 1,
    ) -> None:
        super().__init__()
        self.model = model
        self.sampler = sampler
        self.loss = loss
        self.similarity: Similarity = similarity
        self.l2 = l2
        self.precision = precision
        self.processes = processes

    def forward(self, drawn: DrawContext, prepared: Prepared, weights: Tensor | None) -> Tensor:
        """Compute the loss of this process's share of a batch.

        Args:
            drawn: The pairs.
            prepared: What the sampler made of them.
            weights: float32 [B], or None for ones.

        Returns:
            A scalar whose mean over the processes is the whole batch's loss.
        """
        step = Step(drawn.seed, drawn.epoch, drawn.number)
        layers = self.model.layers(step)
        with self._precision(drawn.users.device):
            user_layers = layers.user_rows(drawn.users)
            positive_layers = layers.item_rows(drawn.positives)
            found = self.sampler.sample(
                SamplingContext(
                    **vars(drawn),
                    layers=layers,
                    user_layers=user_layers,
                    positive_layers=positive_layers,
                    pooling=self.model.pool,
                    similarity=self.similarity,
                    prepared=prepared,
                )
            )
            batch = Batch(
                users=drawn.users,
                positives=drawn.positives,
                negatives=found.ids,
                whole_users=drawn.whole_users,
                whole_positives=drawn.whole_positives,
                whole_weights=drawn.whole_weights,
                layers=layers,
                user_layers=user_layers,
                positive_layers=positive_layers,
                negative_layers=found.embeddings(layers),
                allowed=found.allowed,
                log_q=found.log_q,
                step=step,
                pooling=self.model.pool,
                similarity=self.similarity,
            )
            losses = self.model.pair_losses(batch, self.loss)
            if found.auxiliary_losses is not None:
                losses = losses + found.auxiliary_losses
            if weights is not None:
                losses = losses * weights
            if self.l2:
                losses = losses + self.l2 * half_squared_norms(batch)
            whole = self.model.batch_loss(batch)
            more = None if self.loss is None else self.loss.batch_loss(batch)
        # a sum over this process's pairs, in units of the whole batch's mean
        total = losses.sum() * (self.processes / len(drawn.whole_users))
        for part in (whole, more):
            if part is not None:
                total = total + part
        return total

    def _precision(self, device: torch.device) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)


def half_squared_norms(batch: Batch) -> Tensor:
    """Return float32 [B], half the squared norm of each pair's layer-0 embeddings, negatives averaged."""
    users, positives = batch.user_layers[:, 0], batch.positive_layers[:, 0]
    negatives = batch.negative_layers[:, :, 0].square().sum(dim=-1).mean(dim=1)
    return 0.5 * (users.square().sum(dim=-1) + positives.square().sum(dim=-1) + negatives)
