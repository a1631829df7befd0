"""Candidates of all users, with the histories that they were made from, so that judging needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from dtlns.artifacts import Artifact, open_artifact, write_artifact
from dtlns.candidates import Candidates, load_histories, make_candidates, save_histories
from dtlns.data.views import TrainView
from dtlns.models.registry import load_scorer
from dtlns.training.settings import TrainConfig

KIND = "candidates"


def write_candidates(
    out: Path,
    train: TrainView,
    pretrained: Artifact,
    m: int,
    *,
    hide_by: Literal["random", "latest"],
    facts: dict[str, Any] | None = None,
    force: bool = False,
) -> Artifact:
    """Make the candidates and write the artefact.

    Args:
        out: Where.
        train: The training view.
        pretrained: A pretrained artefact of the same view.
        m: Candidates per user, M.
        hide_by: How the data set's own split holds out; calibration hides positives the same way.
        facts: For `run.json`.
        force: Replace what is there.

    Returns:
        The artefact: `candidates.parquet` and `histories.safetensors`.
    """
    pretrained.check_train(train.digest)
    config = {"m": m, "n_users": train.n_users, "hide_by": hide_by, "pretrain": pretrained.config}
    inputs = {"pretrained": pretrained.digest}
    with write_artifact(
        out, KIND, config=config, inputs=inputs, train_digest=train.digest, facts=facts, force=force
    ) as folder:
        make_candidates(load_scorer(pretrained.path), train, m).save(folder)
        save_histories(folder, train)
    return open_artifact(out, KIND)


def load_candidates(artifact: Artifact) -> tuple[Candidates, TrainView]:
    """Return the candidates and the histories."""
    config = artifact.config
    return Candidates.load(artifact.path, config["n_users"], config["m"]), load_histories(artifact.path)


def pretrain_config(artifact: Artifact) -> TrainConfig:
    """Return the settings of the model that the candidates come from."""
    return TrainConfig.model_validate(artifact.config["pretrain"])
