"""Pretraining: the model that gives item vectors for the semantic tree, and candidates.

It sees the training view only, and stops after a fixed number of epochs: an early stop on validation would let held-out
pairs into everything that follows.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, load_arrays, open_artifact, save_arrays, write_artifact
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.training.settings import TrainConfig
from dtlns.training.trainer import train as fit

KIND = "pretrained"
log = logging.getLogger(__name__)


def pretrain(train: TrainView, settings: TrainConfig, *, device: str = "cpu") -> tuple[Scorer, NDArray[np.float32]]:
    """Train a model for a fixed number of epochs on the training view alone.

    Args:
        train: The training view.
        settings: Model, sampler and loop; trains for exactly `epochs` epochs.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The model as a scorer, and its item vectors, float32 [I, D].

    Raises:
        ConfigError: The settings need trees or false negatives, which do not exist yet at this stage.
    """
    if settings.sampler.multi_view or settings.false_negatives != "ignore":
        raise ConfigError(
            "pretraining cannot use trees or false negatives, which are made from it",
            allowed="multi_view = false and false_negatives = 'ignore'",
        )
    model = fit(train, settings, device=device).model
    if not isinstance(model, EmbeddingModel):
        raise ConfigError(
            f"model {settings.model.name!r} has no item vectors to build the semantic tree from",
            allowed="an embedding model such as mf or lightgcn",
        )
    return model, model.pooled()[1].cpu().numpy()


def write_pretrained(
    out: Path,
    train: TrainView,
    settings: TrainConfig,
    *,
    facts: dict[str, Any] | None = None,
    device: str = "cpu",
    force: bool = False,
) -> Artifact:
    """Pretrain and write the artefact: the scorer and `item_vectors.safetensors`."""
    config = settings.model_dump(mode="json")
    with write_artifact(
        out, KIND, config=config, train_digest=train.digest, facts=facts, force=force
    ) as folder:
        scorer, vectors = pretrain(train, settings, device=device)
        scorer.save(folder)
        save_arrays(folder / "item_vectors.safetensors", {"vectors": vectors})
    return open_artifact(out, KIND)


def item_vectors(artifact: Artifact) -> NDArray[np.float32]:
    """Return the item vectors of a pretrained artefact, float32 [I, D]."""
    return load_arrays(artifact.path / "item_vectors.safetensors")["vectors"]
