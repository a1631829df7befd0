"""Controls of the judge: chances that come from no judge, in the form of `write_judged`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact, write_json
from dtlns.data.dataset import Dataset
from dtlns.data.planted_truth import PlantedTruth, load_truth
from dtlns.errors import ConfigError
from dtlns.judges.hiding import is_member
from dtlns.stages.calibration import check_same_train
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import search
from dtlns.stages.judging import KIND, judged_table, summarise_chances

Control = Literal["no-judge", "oracle"]
CONTROLS: tuple[Control, ...] = get_args(Control)


def write_control(
    out: Path,
    candidates: Artifact,
    how: Control,
    *,
    hidden: Artifact | None = None,
    data: Dataset | None = None,
    if_exists: IfExists = "error",
) -> Artifact:
    """Write chances that come from no judge, in the form of `write_judged`.

    - `no-judge`: every candidate has the same chance, the share of hidden positives among the candidates of
      the pipeline without them: what calibration knows before a judge says anything. Only the rank is left,
      since ties at a cut go to the better one.
    - `oracle`: one for the items that the user of a planted world likes, and zero for the others.

    Args:
        out: Where.
        candidates: What to judge.
        how: Which control.
        hidden: For `no-judge`, a hidden artefact of the same training view.
        data: For `oracle`, the planted data set that the candidates come from.
        if_exists: What to do when something is there.

    Returns:
        The artefact: `judged.parquet` (user, item, rank, p_hidden) and `summary.json`.

    Raises:
        ConfigError: What the control needs is missing.
        LeakageError: It is of another training view than the candidates.
        ArtifactError: The data set is no planted one.
    """
    if how == "no-judge":
        if hidden is None:
            raise ConfigError("the control no-judge needs hidden positives", hint="see `dtlns calibrate`")
        check_same_train(candidates, hidden)
        inputs, chances = {"hidden": hidden.digest}, partial(_base_rate, candidates, hidden)
    else:
        if data is None:
            raise ConfigError("the control oracle needs the planted data set that the candidates come from")
        candidates.check_train(data.train.digest)
        inputs, chances = {"dataset": data.digest}, partial(_liked, load_truth(data))

    def body(folder: Path) -> None:
        found, _ = load_candidates(candidates)
        p_hidden = chances(*found.pairs())
        judged_table(found, {}, p_hidden).write_parquet(folder / "judged.parquet", compression="zstd")
        write_json(folder / "summary.json", summarise_chances(p_hidden))

    inputs["candidates"] = candidates.digest
    spec = Spec(KIND, {"judge": how}, inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def _base_rate(
    candidates: Artifact, hidden: Artifact, users: NDArray[np.int64], _: NDArray[np.int64]
) -> NDArray[np.float32]:
    return np.full(len(users), search(candidates, hidden).found.mean(), dtype=np.float32)


def _liked(truth: PlantedTruth, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
    return is_member(truth.liked_indptr, truth.liked, users, items).astype(np.float32)
