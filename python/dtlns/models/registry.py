"""Models by name, and saved scorers back from their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from dtlns.data.views import TrainView
from dtlns.errors import ArtifactError, ConfigError, DtlnsError
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.prior import KIND, WithPrior
from dtlns.models.storage import read_header
from dtlns.plugins import check_options, load_plugin
from dtlns.training.settings import ModelConfig


def build_model(config: ModelConfig, train: TrainView, *, seed: int = 0) -> EmbeddingModel | Scorer:
    """Make the model that a configuration names.

    Args:
        config: Its name and shape.
        train: The training interactions.
        seed: Of everything random in it.

    Returns:
        An `EmbeddingModel` that waits for training, or a `Scorer` that is ready, such as ItemKNN.

    Raises:
        ConfigError: No such model, or what is registered under that name is none.
    """
    kind = load_plugin("dtlns.models", config.name)
    check_options("dtlns.models", config.name, kind, config.options)
    model = kind.build(config, train, seed=seed) if hasattr(kind, "build") else None
    if not isinstance(model, EmbeddingModel | Scorer):
        raise ConfigError(
            f"model {config.name!r} is {kind!r}",
            allowed="a class whose `build` returns an EmbeddingModel or a Scorer of dtlns.models.base",
        )
    return model


def load_scorer(folder: Path) -> Scorer:
    """Load a scorer that was saved with `save`.

    Args:
        folder: Where `scorer.json` is.

    Raises:
        ArtifactError: The folder holds no scorer, or one of another format.
        ConfigError: The scorer's plug-in is not installed.
    """
    name = str(read_header(folder)["scorer"])
    # what embedding models end in; nothing that one could ask for by name
    ends: dict[str, Any] = {"embedding": EmbeddingScorer, KIND: WithPrior}
    kind = ends[name] if name in ends else load_plugin("dtlns.models", name)
    try:
        return cast("Scorer", kind.load(Path(folder)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DtlnsError):
            raise
        raise ArtifactError(
            f"{folder} does not hold what a scorer {name!r} is loaded from ({type(error).__name__}: {error})",
            hint="it may be of an older version: make it again",
        ) from error
