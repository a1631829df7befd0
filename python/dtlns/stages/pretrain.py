"""Pretraining: the model that gives item vectors for the semantic tree, and candidates.

It sees the training view only, and stops after a fixed number of epochs: an early stop on validation would
let held-out pairs into everything that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.models.embedding import EmbeddingScorer
from dtlns.samplers.registry import needs_codes
from dtlns.training.progress import Progress
from dtlns.training.settings import TrainConfig
from dtlns.training.trainer import train as fit

KIND = "pretrained"


def pretrain(
    train: TrainView,
    settings: TrainConfig,
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> EmbeddingScorer:
    """Train a model for a fixed number of epochs on the training view alone.

    Args:
        train: The training view.
        settings: Model, sampler and loop; trains for exactly `epochs` epochs.
        device: `auto`, `cpu` or `cuda`.
        progress: Called after each epoch.

    Returns:
        The trained model; its `item_vectors`, float32 [I, D], are the semantic view.

    Raises:
        ConfigError: The settings need trees or false negatives, which do not exist yet at this stage.
    """
    if needs_codes(settings.sampler) or settings.false_negatives != "ignore":
        raise ConfigError(
            "pretraining cannot use trees or false negatives, which are made from it",
            allowed="multi_view = false and false_negatives = 'ignore'",
        )
    scorer = fit(train, settings, device=device, progress=progress).scorer
    if not isinstance(scorer, EmbeddingScorer):
        raise ConfigError(
            f"model {settings.model.name!r} has no item vectors to build the semantic tree from",
            allowed="an embedding model such as mf or lightgcn",
        )
    return scorer


def write_pretrained(
    out: Path,
    train: TrainView,
    settings: TrainConfig,
    *,
    facts: Mapping[str, Any] | None = None,
    device: str = "cpu",
    if_exists: IfExists = "error",
    progress: Callable[[Progress], None] | None = None,
) -> Artifact:
    """Pretrain and write the artefact, which holds the scorer with its vectors."""
    spec = Spec(KIND, settings.model_dump(mode="json"), train_digest=train.digest)
    return make_artifact(
        out,
        spec,
        lambda folder: pretrain(train, settings, device=device, progress=progress).save(folder),
        if_exists=if_exists,
        facts=facts,
    )


def load_pretrained(artifact: Artifact) -> EmbeddingScorer:
    """Return the scorer of a pretrained artefact."""
    return EmbeddingScorer.load(artifact.path)
