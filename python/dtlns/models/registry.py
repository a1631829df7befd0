"""Models by name, and saved scorers back from their folder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from dtlns.data.views import TrainView
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.storage import read_header
from dtlns.plugins import load_plugin
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
        ConfigError: No such model.
    """
    kind = load_plugin("dtlns.models", config.name)
    return cast("EmbeddingModel | Scorer", kind.build(config, train, seed=seed))


def load_scorer(folder: Path) -> Scorer:
    """Load a scorer that was saved with `save`.

    Args:
        folder: Where `scorer.json` is.

    Raises:
        ArtifactError: The folder holds no scorer.
        ConfigError: The scorer's plug-in is not installed.
    """
    name = str(read_header(folder)["scorer"])
    if name == "embedding":  # what every embedding model ends in; nothing that one could ask for by name
        return EmbeddingScorer.load(Path(folder))
    kind = load_plugin("dtlns.models", name)
    return cast("Scorer", kind.load(Path(folder)))
