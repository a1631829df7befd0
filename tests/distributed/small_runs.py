"""Small training runs that cover every model with epochs, every sampler and every loss."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dtlns.codes import PathCodes
from dtlns.data.views import TrainView, ValidView
from dtlns.evaluation.selector import Selector
from dtlns.false_negatives import FalseNegatives
from dtlns.models.base import EmbeddingModel
from dtlns.plugins import load_plugin, plugin_names
from dtlns.samplers.scored import ScoreBased
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig

N_USERS, N_ITEMS = 50, 30
CODES = {
    "structural": PathCodes.from_paths([(i % 4, i % 3) for i in range(N_ITEMS)]),
    "semantic": PathCodes.from_paths([(i % 3, i % 4) for i in range(N_ITEMS)]),
}


def data() -> tuple[TrainView, Selector, FalseNegatives]:
    """Return training interactions, validation as a selector, and judged pairs, all random."""
    drawn = np.random.default_rng(0).random((N_USERS, N_ITEMS))
    train = TrainView.from_csr(sp.csr_array((drawn < 0.2).astype(np.float32)))
    users, items = np.nonzero((drawn >= 0.2) & (drawn < 0.26))
    valid = ValidView(
        np.searchsorted(users, np.arange(N_USERS + 1)).astype(np.int64), items.astype(np.uint32), N_ITEMS
    )
    users, items = np.nonzero((drawn >= 0.26) & (drawn < 0.3))
    judged = FalseNegatives.from_pairs(users, items, drawn[users, items], n_users=N_USERS, n_items=N_ITEMS)
    return train, Selector(train, valid), judged


def runs() -> dict[str, TrainConfig]:
    """Return settings by name: each model, sampler and loss at least once."""
    models = [name for name in plugin_names("dtlns.models") if _is_trained(load_plugin("dtlns.models", name))]
    pairs = [(model, "uniform", None) for model in models]
    pairs += [("mf", sampler, None) for sampler in plugin_names("dtlns.samplers") if sampler != "uniform"]
    pairs += [("lightgcn", "mixgcf", None)]
    pairs += [("mf", "uniform", loss) for loss in plugin_names("dtlns.losses")]
    return {
        "-".join(filter(None, (model, sampler, loss))): _settings(model, sampler, loss)
        for model, sampler, loss in pairs
    }


def _settings(model: str, sampler: str, loss: str | None) -> TrainConfig:
    several = 1 if sampler == "in-batch" else 2  # it takes as many as there are
    scored = issubclass(load_plugin("dtlns.samplers", sampler), ScoreBased)
    return TrainConfig(
        model=ModelConfig(name=model, dimensions=4, layers=2),
        sampler=SamplerConfig(name=sampler, candidates=4, negatives=several, multi_view=scored),
        loss=LossConfig(name=loss),
        false_negatives="weighted",
        epochs=4,
        batch_size=91,  # odd, and one pair is left for a last batch, of which one of two processes has none
        learning_rate=0.01,
        validate_every=2,
    )


def _is_trained(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, EmbeddingModel)
