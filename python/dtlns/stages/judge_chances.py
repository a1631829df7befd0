"""What a judge says, for the features of the false-negative model, on the rebuilt pipelines and here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from dtlns.artifacts import Artifact
from dtlns.errors import ConfigError
from dtlns.false_negative_model.features import Judged
from dtlns.stages.calibration import check_same_train


def calibrations_for(
    judged: Artifact, given: Sequence[Artifact], candidates: Artifact, hidings: Sequence[Artifact]
) -> list[Artifact]:
    """Return the judge's calibration for each hiding, and refuse chances that are of anything else.

    Args:
        judged: Of the final candidates.
        given: Calibrations of that judge, its own among them.
        candidates: The candidates artefact of all of them.
        hidings: Hidden artefacts.

    Raises:
        ConfigError: The chances are of another judge or of other candidates, or a hiding has no calibration.
        LeakageError: They are of another training view.
    """
    check_same_train(candidates, judged, *given)
    inputs = judged.manifest["inputs"]
    own = [calibration for calibration in given if calibration.digest == inputs.get("calibration")]
    if not own:
        raise ConfigError(f"{judged.path} was not judged with a calibration that is given")
    if inputs["candidates"] != candidates.digest:
        raise ConfigError(f"{judged.path} judges other candidates than {candidates.path}")
    for other in given:
        if any(other.config.get(name) != own[0].config.get(name) for name in ("judge", "judge_options")):
            raise ConfigError(f"{other.path} calibrates another judge than {own[0].path}")
    of_hidden = {calibration.manifest["inputs"]["hidden"]: calibration for calibration in given}
    missing = [hiding.path for hiding in hidings if hiding.digest not in of_hidden]
    if missing:
        raise ConfigError(
            f"no calibration of the judge looked for the hidden positives of {missing[0]}",
            hint="calibrate with its folder as --hidden",
        )
    return [of_hidden[hiding.digest] for hiding in hidings]


def read_chances(path: Path, column: str) -> Judged:
    """Return the chances of a Parquet table.

    Args:
        path: The table, with `user` and `item`.
        column: Of the chances.
    """
    frame = pl.read_parquet(path, columns=["user", "item", column])
    users, items = (frame[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    return Judged(users, items, frame[column].to_numpy())
