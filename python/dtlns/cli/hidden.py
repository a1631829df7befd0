"""The hidden half of a calibration, as several commands need it."""

from __future__ import annotations

from pathlib import Path

from dtlns.artifacts import Artifact, open_artifact
from dtlns.config import CalibrationConfig
from dtlns.stages.hidden import KIND, write_hidden
from dtlns.training.progress import stderr_progress


def hidden_positives(
    candidates: Artifact,
    out: Path,
    hidden: Path | None,
    device: str,
    settings: CalibrationConfig | None = None,
) -> Artifact:
    """Open the hidden positives, or hide some and pretrain without them.

    Args:
        candidates: What is calibrated for.
        out: The command's output; the folder lies beside it where none is given.
        hidden: The folder, as given by --hidden.
        device: Where to train.
        settings: What shall be hidden; None takes what is there, and where nothing is, the defaults.
    """
    folder = hidden or out.with_name(out.name + "-hidden")
    if settings is None and folder.exists():
        return open_artifact(folder, KIND)
    return write_hidden(
        folder,
        candidates,
        settings or CalibrationConfig(),
        device=device,
        if_exists="reuse",
        progress=stderr_progress(),
    )
