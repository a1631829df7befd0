"""Settings tried on a toy before any work: what cannot work is said at once, and not after hours."""

from __future__ import annotations

from collections.abc import Iterable

import scipy.sparse as sp

from dtlns.codes import PathCodes
from dtlns.config import RunConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.models.base import EmbeddingModel
from dtlns.models.registry import build_model
from dtlns.plugins import load_plugin
from dtlns.samplers.registry import build_sampler
from dtlns.training.settings import TrainConfig

VIEWS = ("structural", "semantic")


def rehearse(config: RunConfig, trained: Iterable[TrainConfig]) -> None:
    """Build every model and sampler of a run on a toy, with the settings that the run will use.

    Args:
        config: The run.
        trained: The settings of its final models.

    Raises:
        ConfigError: A name is unknown, or settings do not fit together.

    Example:
        >>> rehearse(RunConfig(data="-"), [TrainConfig()])
    """
    load_plugin("dtlns.judges", config.judge)
    toy = TrainView.from_csr(sp.csr_array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]))
    codes = PathCodes.from_paths([[0], [1], [0], [1]], branching=config.trees.branching)
    for settings in (config.pretrain, *trained):
        if isinstance(build_model(settings.model, toy, seed=settings.seed), EmbeddingModel):
            views = dict.fromkeys(VIEWS, codes) if settings.sampler.multi_view else {}
            build_sampler(settings, toy, views)
        elif settings.false_negatives != "ignore":
            raise ConfigError(
                f"train.model.name = {settings.model.name!r} cannot use false negatives",
                allowed="an embedding model such as mf or lightgcn",
            )
    if config.pretrain.sampler.multi_view or config.pretrain.false_negatives != "ignore":
        raise ConfigError(
            "pretraining cannot use trees or false negatives, which are made from it",
            allowed="pretrain.sampler.multi_view = false and pretrain.false_negatives = 'ignore'",
        )
