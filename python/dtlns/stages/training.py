"""Training: the final model, the only stage that is told anything of validation, and that as one number."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dtlns.artifacts import Artifact, IfExists, Spec, check_free, make_artifact
from dtlns.config import SelectionConfig
from dtlns.data.dataset import Dataset
from dtlns.errors import ArtifactError, CheckpointError, ConfigError
from dtlns.evaluation.selector import Selector
from dtlns.idle import refuse_weights
from dtlns.samplers.registry import needs_codes
from dtlns.stages.selection import refresher, select_false_negatives
from dtlns.stages.trees import load_codes
from dtlns.training.checkpoint import CHECKPOINT
from dtlns.training.progress import Progress
from dtlns.training.result import load_parameters
from dtlns.training.settings import TrainConfig
from dtlns.training.trainer import train as fit

KIND = "model"
log = logging.getLogger(__name__)


def write_model(
    out: Path,
    data: Dataset,
    settings: TrainConfig,
    *,
    trees: Artifact | None = None,
    judged: Artifact | None = None,
    calibration: Artifact | None = None,
    selection: SelectionConfig | None = None,
    start: Artifact | None = None,
    metric: str = "recall@20",
    facts: Mapping[str, Any] | None = None,
    device: str = "cpu",
    if_exists: IfExists = "error",
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Artifact:
    """Train a model and write the artefact.

    Args:
        out: Where. While training runs, a checkpoint is in `OUT.checkpoint` beside it.
        data: The data set; a validation split chooses the epoch, without one exactly `epochs` are run.
        settings: Model, sampler and loop.
        trees: Needed for multi-view negatives, by samplers that use codes, and for a refresh.
        judged: Needed for every use of false negatives but `ignore`.
        calibration: Needed where false negatives are found anew, each `settings.refresh_every` epochs.
        selection: Which judged candidates count, and how much.
        start: A model of the same shape and training split, whose parameters training starts from.
        metric: What validation measures to choose.
        facts: For `run.json`; where the judged candidates are is added.
        device: Where to train.
        if_exists: What to do when something is there. With `reuse`, a checkpoint that is damaged or of other
            settings is made again, like an artefact.
        resume: Go on from the checkpoint of an interrupted run.
        progress: Called after each epoch.

    Returns:
        The artefact, which holds the scorer, `training.json` and `metrics.jsonl`.

    Raises:
        ConfigError: What the settings need was not given, or is not there, or the start is of another kind.
        ArtifactError: A checkpoint is there and `resume` is false, or something else is in the way.
    """
    train = data.train
    refuse_weights(train, settings)
    use = settings.false_negatives
    coded, refreshed = needs_codes(settings.sampler), settings.refresh_every > 0
    if coded and trees is None:
        named = f"sampler {settings.sampler.name!r} needs"
        what = "multi-view negatives need" if settings.sampler.multi_view else named
        raise ConfigError(f"{what} trees", hint="give --trees, made by `dtlns build-trees`")
    if refreshed and (use == "ignore" or trees is None or calibration is None):
        raise ConfigError(
            f"false negatives cannot be found anew each {settings.refresh_every} epochs",
            allowed="with judged false negatives, and the trees and the calibration that judged them",
            hint="give --false-negatives, --trees and --calibration",
        )
    if use != "ignore" and judged is None:
        raise ConfigError(
            f"false negatives shall be used as {use!r}, but none were given",
            hint="give --false-negatives, made by `dtlns judge` or `dtlns find-false-negatives`",
        )
    selection = selection or SelectionConfig()
    config: dict[str, Any] = settings.model_dump(mode="json")
    remembered = dict(facts or {})
    inputs = {}
    if trees is not None and (coded or refreshed):
        trees.check_train(train.digest)
        inputs["trees"] = trees.digest
        config["external_views"] = trees.config["external_views"]
    if judged is not None and use != "ignore":
        judged.check_train(train.digest)
        inputs["judged"] = judged.digest
        config["selection"] = selection.model_dump(mode="json")
        remembered["judged"] = os.path.relpath(judged.path.resolve(), out.resolve())
    if calibration is not None and refreshed:
        calibration.check_train(train.digest)
        inputs["calibration"] = calibration.digest
    if start is not None:
        start.check_train(train.digest)
        _check_start(start, settings)
        inputs["start"] = start.digest
    selector = None if data.valid is None else Selector(train, data.valid, metric, device=device)
    if selector is not None:
        inputs["selector"] = selector.digest
    config["selected_by"] = None if selector is None else selector.name
    checkpoint = out.with_name(out.name + ".checkpoint")
    if if_exists == "error":
        check_free(out)
        if (checkpoint / CHECKPOINT).exists() and not resume:
            raise ArtifactError(
                f"{checkpoint} holds an interrupted run",
                hint="go on with --resume, or start again with --force",
            )

    def body(folder: Path) -> None:
        false_negatives = refresh = None
        if "judged" in inputs and judged is not None:
            false_negatives = select_false_negatives(judged, train.n_users, train.n_items, use, selection)
            if "calibration" in inputs and calibration is not None and trees is not None:
                refresh = refresher(judged, trees, calibration, train, use, selection)
        run = partial(
            fit,
            train,
            settings,
            selector=selector,
            codes=load_codes(trees) if coded and trees is not None else None,
            false_negatives=false_negatives,
            refresh=refresh,
            start=None if start is None else load_parameters(start.path),
            device=device,
            checkpoint_dir=checkpoint,
            progress=progress,
        )
        try:
            model = run(resume=resume)
        except CheckpointError as error:
            if if_exists != "reuse":
                raise
            log.warning("%s; training from the beginning", error.what)
            model = run(resume=False)
        model.save(folder)

    spec = Spec(KIND, config, inputs, train.digest)
    artifact = make_artifact(out, spec, body, if_exists=if_exists, facts=remembered)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return artifact


def _check_start(start: Artifact, settings: TrainConfig) -> None:
    """Refuse a start of which training would lose a part, or which is another model's."""
    name = start.config["model"]["name"]
    if name != settings.model.name:
        raise ConfigError(
            f"a start of model {name!r} for model {settings.model.name!r}", allowed="the same model"
        )
    if "prior" in start.config:
        raise ConfigError(
            f"{start.path} ranks with a prior, which training would lose",
            hint="start from the host, and add the prior again afterwards: `dtlns add-prior`",
        )
