"""Candidates of all users, with the histories that they were made from: judging needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact
from dtlns.candidates import Candidates, load_histories, make_candidates, save_histories
from dtlns.data.dataset import Dataset
from dtlns.data.views import TrainView
from dtlns.judges.hiding import HideRule
from dtlns.stages.pretrain import load_pretrained
from dtlns.training.settings import TrainConfig

KIND = "candidates"


def write_candidates(
    out: Path,
    train: TrainView,
    pretrained: Artifact,
    m: int,
    *,
    hide_by: HideRule,
    facts: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
) -> Artifact:
    """Make the candidates and write the artefact.

    Args:
        out: Where.
        train: The training view.
        pretrained: A pretrained artefact of the same view.
        m: Candidates per user, M.
        hide_by: How the data set's own split holds out; calibration hides positives the same way.
        facts: For `run.json`.
        if_exists: What to do when something is there.

    Returns:
        The artefact: `candidates.parquet` and `histories.safetensors`.
    """
    pretrained.check_train(train.digest)
    config = {"m": m, "n_users": train.n_users, "hide_by": hide_by, "pretrain": pretrained.config}

    def body(folder: Path) -> None:
        make_candidates(load_pretrained(pretrained), train, m).save(folder)
        save_histories(folder, train)

    spec = Spec(KIND, config, {"pretrained": pretrained.digest}, train.digest)
    return make_artifact(out, spec, body, if_exists=if_exists, facts=facts)


def hide_rule(data: Dataset) -> HideRule:
    """Return how calibration should hide positives so that it resembles the data set's own split."""
    in_time = data.split is not None and data.split.get("by") in ("time", "last-out")
    return "latest" if in_time and data.train.timestamps is not None else "random"


def load_candidates(artifact: Artifact) -> tuple[Candidates, TrainView]:
    """Return the candidates and the histories."""
    config = artifact.config
    return Candidates.load(artifact.path, config["n_users"], config["m"]), load_histories(artifact.path)


def pretrain_config(artifact: Artifact) -> TrainConfig:
    """Return the settings of the model that the candidates come from."""
    return TrainConfig.model_validate(artifact.config["pretrain"])
