"""A trained model under the published protocol, beside the leak-free one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, open_artifact
from dtlns.audit.tables import read_pairs
from dtlns.config import SelectionConfig, checked
from dtlns.data.dataset import Dataset
from dtlns.errors import ArtifactError, ConfigError, DataError
from dtlns.evaluation.protocol import DEFAULT_KS
from dtlns.evaluation.published import enhanced_positives, evaluate_both, report_both
from dtlns.models.registry import load_scorer
from dtlns.stages.evaluation import describe_model, validation_mask
from dtlns.stages.judging import KIND as JUDGED
from dtlns.stages.selection import select_false_negatives


def evaluate_published(
    model: Artifact,
    data: Dataset,
    positives: Path | Artifact | None = None,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    mask_valid: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure a model on test under the published protocol, beside the leak-free one.

    Args:
        model: A model artefact.
        data: The data set that it was trained on.
        positives: Enhanced positives, as a file of pairs in the source's own ids. Otherwise the false
            negatives that the model was trained with: the judged artefact that they were taken from, or
            None when it is still where it was.
        ks: Cut-offs K.
        mask_valid: Mask validation pairs too, in both.
        device: Where to rank: `cpu`, `cuda`, or `auto`.

    Returns:
        JSON values, as `evaluation.published.report_both` makes them, and what the model is.

    Raises:
        LeakageError: The model was trained on another training split.
        DataError: The data set has no test pairs, or no validation pairs to mask; the file is unreadable.
        ConfigError: The model has no false negatives, or they were not taken from this artefact.
        ArtifactError: The artefact is not where it was.
    """
    model.check_train(data.train.digest)
    if data.test is None:
        raise DataError(f"{data.path} has no test pairs", hint="make them with `dtlns data split`")
    also_mask = validation_mask(data, mask_valid)
    pairs = _pairs_of_file(positives, data) if isinstance(positives, Path) else _own_pairs(model, positives)
    enhanced = enhanced_positives(*pairs, data.train, data.test, data.valid)
    both = evaluate_both(
        load_scorer(model.path),
        data.train,
        data.test,
        enhanced,
        ks=ks,
        also_mask=also_mask,
        device=device,
    )
    return report_both(*both, enhanced) | describe_model(model)


def _pairs_of_file(path: Path, data: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read pairs in the source's own ids; -1 stands for what is not in training."""
    pairs = read_pairs(path)
    found = []
    for name, ids in (
        ("user", data.users["id"].head(data.n_train_users)),
        ("item", data.items["id"].head(data.n_train_items)),
    ):
        index = pl.DataFrame({name: ids.cast(pl.String)}).with_row_index("index")
        wanted = pairs.select(pl.col(name).cast(pl.String))
        joined = wanted.join(index, on=name, how="left", maintain_order="left")
        found.append(joined["index"].cast(pl.Int64).fill_null(-1).to_numpy())
    return found[0], found[1]


def _own_pairs(model: Artifact, judged: Artifact | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take the false negatives that a model was trained with."""
    wanted = model.manifest["inputs"].get("judged")
    if wanted is None:
        raise ConfigError(f"{model.path} was trained without false negatives", hint="give --positives FILE")
    judged = judged or _remembered(model)
    if wanted != judged.digest:
        raise ConfigError(f"{model.path} was trained with other false negatives than those of {judged.path}")
    scorer, config = load_scorer(model.path), model.config
    selection = checked(SelectionConfig, config["selection"], str(model.path))
    pairs = select_false_negatives(
        judged, scorer.n_users, scorer.n_items, config["false_negatives"], selection
    )
    return pairs.users.astype(np.int64), pairs.indices.astype(np.int64)


def _remembered(model: Artifact) -> Artifact:
    """Open the judged artefact where it was when the model was trained."""
    path = (model.path / str(model.facts.get("judged", ""))).resolve()
    if not path.is_dir() or path == model.path.resolve():
        raise ArtifactError(
            f"the false negatives of {model.path} are not where they were",
            hint="name their folder with --false-negatives JUDGED",
        )
    return open_artifact(path, JUDGED)
