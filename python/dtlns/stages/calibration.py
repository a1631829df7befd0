"""Calibration: hide some training positives, rebuild everything without them, and see what scores find them.

Graph, pretrained model, trees and candidates are all made again from what stays visible, since each of them
would otherwise have learnt from the positives that it is asked to find.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact, write_json
from dtlns.candidates import make_candidates
from dtlns.config import CalibrationConfig, TreesConfig
from dtlns.data.views import TrainView
from dtlns.judges.base import Judge, JudgeRequest, score_table
from dtlns.judges.calibration import Calibration, fit_calibration
from dtlns.judges.hiding import HideRule, hide_positives, is_member
from dtlns.plugins import load_plugin
from dtlns.stages import trees as tree_stage
from dtlns.stages.candidates import load_candidates, pretrain_config
from dtlns.stages.pretrain import pretrain
from dtlns.training.progress import Progress
from dtlns.training.settings import TrainConfig
from dtlns.trees import PathCodes

KIND = "calibration"
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """The pipeline without the hidden positives: what the judge is shown, and the truth.

    Attributes:
        request: Visible histories, codes and candidates.
        hidden: bool [N], for each of `request.candidates.pairs()`, whether it was hidden.
        hidden_total: Number of interactions that were hidden.
    """

    request: JudgeRequest
    hidden: NDArray[np.bool_]
    hidden_total: int


def rebuild(
    train: TrainView,
    *,
    share: float,
    by: HideRule,
    seed: int,
    m: int,
    pretraining: TrainConfig,
    trees: TreesConfig,
    own_views: list[str],
    external: dict[str, PathCodes],
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Rebuilt:
    """Hide positives and make graph, vectors, trees and candidates without them.

    Args:
        train: The whole training view.
        share: Share of each user's interactions to hide.
        by: How they are chosen.
        seed: Of the choice.
        m: Candidates per user, M.
        pretraining: Settings of the pretrained model.
        trees: Settings of the trees.
        own_views: Views to build again, of `structural` and `semantic`.
        external: Codes that do not come from the interactions and stay as they are.
        device: Where to train.
        progress: Called after each epoch.
    """
    hidden = hide_positives(train, share, by, seed)
    visible = train.keep(~hidden)
    log.info("rebuilding the pipeline without %d hidden positives", int(hidden.sum()))
    scorer = pretrain(visible, pretraining, device=device, progress=progress)
    made: dict[str, NDArray[np.floating]] = {}
    if "structural" in own_views:
        made["structural"] = tree_stage.structural_vectors(visible, trees)
    if "semantic" in own_views:
        made["semantic"] = scorer.item_vectors
    built = tree_stage.build_views(made, train.n_items, trees)
    codes = {name: tree.codes for name, tree in built.items()} | external
    candidates = make_candidates(scorer, visible, m)
    held = train.keep(hidden)
    users, items = candidates.pairs()
    return Rebuilt(
        request=JudgeRequest(visible, codes, candidates),
        hidden=is_member(held.indptr, held.indices, users, items),
        hidden_total=held.n_interactions,
    )


def write_calibration(
    out: Path,
    candidates: Artifact,
    trees: Artifact,
    judge_name: str,
    settings: CalibrationConfig,
    *,
    device: str = "cpu",
    if_exists: IfExists = "error",
    progress: Callable[[Progress], None] | None = None,
) -> Artifact:
    """Calibrate a judge and write the artefact.

    Args:
        out: Where.
        candidates: A candidates artefact; its recorded settings say how to rebuild.
        trees: A trees artefact of the same training view.
        judge_name: Entry point in the group `dtlns.judges`.
        settings: What is hidden.
        device: Where to train.
        if_exists: What to do when something is there.
        progress: Called after each epoch.

    Returns:
        The artefact: `calibration.json` (the fitted map) and `measured.json` (what it is worth on users not
        fitted).
    """
    check_same_train(candidates, trees)
    _, train = load_candidates(candidates)
    judge: Judge = load_plugin("dtlns.judges", judge_name)()
    by = candidates.config["hide_by"] if settings.by == "auto" else settings.by
    config = settings.model_dump(mode="json") | {"by": by, "judge": judge_name}
    inputs = {"candidates": candidates.digest, "trees": trees.digest}

    def body(folder: Path) -> None:
        codes = tree_stage.load_codes(trees)
        external = trees.config["external_views"]
        rebuilt = rebuild(
            train,
            share=settings.share,
            by=by,
            seed=settings.seed,
            m=candidates.config["m"],
            pretraining=pretrain_config(candidates),
            trees=tree_stage.trees_config(trees),
            own_views=[name for name in codes if name not in external],
            external={name: codes[name] for name in external},
            device=device,
            progress=progress,
        )
        columns, scores = score_table(judge, rebuilt.request)
        users, _ = rebuilt.request.candidates.pairs()
        calibration, measured = fit_calibration(columns, scores, rebuilt.hidden, users, settings.seed)
        measured["hidden_interactions"] = rebuilt.hidden_total
        measured["score_means"] = dict(zip(columns, scores.mean(axis=0).tolist(), strict=True))
        write_json(folder / "calibration.json", calibration.to_json())
        write_json(folder / "measured.json", measured)

    spec = Spec(KIND, config, inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def load_calibration(artifact: Artifact) -> tuple[Calibration, dict[str, Any]]:
    """Return the fitted map and what was measured."""
    fitted = json.loads((artifact.path / "calibration.json").read_bytes())
    return Calibration.from_json(fitted), json.loads((artifact.path / "measured.json").read_bytes())


def check_same_train(candidates: Artifact, *others: Artifact) -> None:
    """Refuse artefacts that were made from another training view than the candidates."""
    for other in others:
        other.check_train(str(candidates.train_digest))
