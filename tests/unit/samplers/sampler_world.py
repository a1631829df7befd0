"""A batch on a world that is given in full, for tests of samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.draws import draws_on
from dtlns.embeddings import Layers, gather_rows
from dtlns.samplers.base import EpochContext, Sampler, SamplingContext
from dtlns.sampling import NegativePool
from dtlns.tensor_draws import TensorDraws
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


def train_view(observed: Any) -> TrainView:
    return TrainView.from_csr(sp.csr_array(np.asarray(observed, dtype=np.float32)))


def table(*columns: Any) -> torch.Tensor:
    """Scores as embeddings of one number: float32 [rows, layers, 1]."""
    return torch.tensor(np.array(columns), dtype=torch.float32).T.unsqueeze(2)


def random_layers(n_users: int, n_items: int, n_layers: int = 2, size: int = 3) -> Layers:
    generator = torch.Generator().manual_seed(4)
    tables = (torch.randn(n, n_layers, size, generator=generator) for n in (n_users, n_items))
    return Layers(*(each.requires_grad_() for each in tables))


def batch(
    observed: Any,
    users: Any,
    positives: Any,
    layers: Layers | None = None,
    *,
    rows: Any = None,
    whole: tuple[Any, Any] | None = None,
    exclude: Any = None,
    on_tensors: bool = False,
    **given: Any,
) -> SamplingContext:
    """A context: who has observed what [U, I], the pairs, and what else differs from the usual."""
    train = train_view(observed)
    layers = random_layers(train.n_users, train.n_items) if layers is None else layers
    users, positives = torch.as_tensor(users), torch.as_tensor(positives)
    whole = (users, positives) if whole is None else tuple(torch.as_tensor(each) for each in whole)
    pool = NegativePool(train, None if exclude is None else sp.csr_array(np.asarray(exclude)))
    fields: dict[str, Any] = {"seed": 11, "epoch": 1, "epochs": 10, "number": 0}
    return SamplingContext(
        users=users,
        positives=positives,
        rows=torch.arange(len(users)) if rows is None else torch.as_tensor(rows),
        whole_users=whole[0],
        whole_positives=whole[1],
        draws=TensorDraws(pool, torch.device("cpu")) if on_tensors else draws_on(pool, "cpu"),
        layers=layers,
        user_layers=gather_rows(layers.users, users),
        positive_layers=gather_rows(layers.items, positives),
        pooling=lambda layered: layered.mean(dim=-2),
        **(fields | given),
    )


def begin(sampler: Sampler, context: SamplingContext) -> None:
    """Begin the context's epoch."""
    sampler.begin_epoch(
        EpochContext(
            draws=context.draws,
            layers=Layers(*(each.detach() for each in context.layers)),
            pooling=context.pooling,
            similarity=context.similarity,
            seed=context.seed,
            epoch=context.epoch,
            epochs=context.epochs,
        )
    )


def build(
    kind: type[Sampler], observed: Any, codes: dict[str, PathCodes] | None = None, **config: Any
) -> Any:
    settings = SamplerConfig(name="tested", **config)
    return kind.build(settings, train_view(observed), codes=codes or {}, dimensions=3, seed=0)
