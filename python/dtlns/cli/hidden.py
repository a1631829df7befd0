"""The hidden half of a calibration, as several commands need it."""

from __future__ import annotations

from pathlib import Path

from dtlns.artifacts import Artifact, open_artifact
from dtlns.config import CalibrationConfig
from dtlns.stages.hidden import KIND, write_hidden
from dtlns.training.progress import stderr_progress


def hidden_positives(
    candidates: Artifact,
    folder: Path,
    device: str,
    settings: CalibrationConfig,
    *,
    as_it_is: bool = False,
) -> Artifact:
    """Open the hidden positives, or hide some and pretrain without them.

    Args:
        candidates: What is calibrated for.
        folder: Where they are kept.
        device: Where to train.
        settings: What shall be hidden.
        as_it_is: Take what is there, whatever was hidden; else it is made again where that was something
            else.
    """
    if as_it_is and folder.exists():
        return open_artifact(folder, KIND)
    return write_hidden(
        folder, candidates, settings, device=device, if_exists="reuse", progress=stderr_progress()
    )


def hidden_folder(out: Path, hidden: Path | None) -> Path:
    """Return what --hidden says, or the folder beside a command's output."""
    return hidden or out.with_name(out.name + "-hidden")
