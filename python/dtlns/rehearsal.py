"""Settings tried on a toy before any work: what cannot work is said at once, and not after hours."""

from __future__ import annotations

from collections.abc import Iterable

import scipy.sparse as sp

from dtlns.codes import PathCodes
from dtlns.config import JudgeConfig, TreesConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.judges.registry import build_again, build_judge, decisive_options
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.registry import build_model
from dtlns.models.tuning import grid
from dtlns.samplers.registry import build_sampler, needs_codes
from dtlns.training.settings import TrainConfig
from dtlns.training.trainer import loss_for


def rehearse(
    pretrain: TrainConfig, judges: Iterable[JudgeConfig], trained: Iterable[tuple[TrainConfig, TreesConfig]]
) -> None:
    """Build every model and sampler of a run on a toy, with the settings that the run will use.

    Args:
        pretrain: The model behind the trees and the candidates.
        judges: Who shall judge.
        trained: The settings of its final models, and of the trees that each would use.

    Raises:
        ConfigError: A name is unknown, or settings do not fit together.

    Example:
        >>> rehearse(TrainConfig(), [JudgeConfig()], [(TrainConfig(), TreesConfig())])
    """
    trained = list(trained)
    refreshed = any(settings.refresh_every for settings, _ in trained)
    for config in judges:
        judge = build_judge(config)
        if refreshed:
            build_again(JudgeConfig(name=config.name, options=decisive_options(judge)))
    if pretrain.tune:
        raise ConfigError("pretraining sees no validation to tune on", allowed="pretrain.tune = false")
    if needs_codes(pretrain.sampler) or pretrain.false_negatives != "ignore" or pretrain.refresh_every:
        raise ConfigError(
            "pretraining cannot use trees or false negatives, which are made from it",
            allowed="pretrain.sampler.multi_view = false, pretrain.false_negatives = 'ignore' and "
            "pretrain.refresh_every = 0",
        )
    if not isinstance(rehearse_training(pretrain, (), 2), EmbeddingModel | EmbeddingScorer):
        raise ConfigError(
            f"pretrain.model.name = {pretrain.model.name!r} has no item vectors",
            allowed="an embedding model such as mf, lightgcn or ials",
        )
    for settings, trees in trained:
        rehearse_training(settings, trees.views, trees.branching)


def rehearse_training(settings: TrainConfig, views: Iterable[str], branching: int) -> EmbeddingModel | Scorer:
    """Build one model, its loss and its sampler on a toy, and return the model.

    Args:
        settings: What shall be trained.
        views: Names of the trees' views that there will be.
        branching: Of the trees.

    Raises:
        ConfigError: A name is unknown, or settings do not fit together.
    """
    toy = TrainView.from_csr(sp.csr_array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]))
    if settings.tune:
        grid(settings.model)
    model = build_model(settings.model, toy, seed=settings.seed)
    if isinstance(model, EmbeddingModel):
        loss_for(model, settings)
        codes = PathCodes.from_paths([[0], [1], [0], [1]], branching=branching)
        build_sampler(settings, toy, dict.fromkeys(views if needs_codes(settings.sampler) else (), codes))
    elif settings.false_negatives != "ignore":
        raise ConfigError(
            f"train.model.name = {settings.model.name!r} cannot use false negatives",
            allowed="an embedding model such as mf or lightgcn",
        )
    return model
