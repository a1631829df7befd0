"""Calibration: hide some training positives, rebuild everything without them, and see what scores find them.

Graph, pretrained model, trees and candidates are all made again from what stays visible, since each of them
would otherwise have learnt from the positives that it is asked to find.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, IfExists, Spec, load_arrays, make_artifact, save_arrays, write_json
from dtlns.data.views import TrainView
from dtlns.judges.base import Judge, JudgeRequest, partial_columns, score_table
from dtlns.judges.calibration import (
    FOLDS,
    Calibration,
    CrossFit,
    check_positives,
    fit_calibration,
    folds_of_users,
)
from dtlns.judges.quality import measure
from dtlns.judges.registry import decisive_options, engine_identity
from dtlns.models.embedding import EmbeddingScorer
from dtlns.stages import trees as tree_stage
from dtlns.stages.hidden import Search, search
from dtlns.trees import PathCodes

KIND = "calibration"
OUT_OF_FOLD = "out_of_fold.parquet"
log = logging.getLogger(__name__)


def rebuild_codes(trees: Artifact, visible: TrainView, scorer: EmbeddingScorer) -> dict[str, PathCodes]:
    """Build the trees again from what stays visible, under the same control.

    Args:
        trees: Its settings and views; views that do not come from the interactions stay as they are.
        visible: The training view without the hidden positives.
        scorer: The model pretrained on it.

    Returns:
        Path codes [I] by view name.
    """
    settings, external = tree_stage.trees_config(trees), trees.config["external_views"]
    own = tree_stage.own_views(settings, external)
    vectors = tree_stage.own_vectors(visible, scorer, own, settings)
    built = tree_stage.build_views(vectors, visible.n_items, settings)
    codes = tree_stage.controlled({name: tree.codes for name, tree in built.items()}, settings)
    return codes | {name: view for name, view in tree_stage.load_codes(trees).items() if name in external}


def search_enough(candidates: Artifact, hidden: Artifact, users: int | None) -> Search:
    """Search as `stages.hidden.search` does, and refuse what nothing could be learnt from.

    Args:
        candidates: A candidates artefact.
        hidden: What is hidden, and the model pretrained without it.
        users: So many users alone; None means all.

    Raises:
        DataError: Too few hidden positives are among the candidates.
    """
    there = search(candidates, hidden, users)
    check_positives(
        there.found,
        there.candidates.pairs()[0],
        folds_of_users(there.visible.n_users, hidden.config["seed"]),
        "candidates" if users is None else f"candidates of {users} users",
    )
    return there


def write_calibration(
    out: Path,
    candidates: Artifact,
    trees: Artifact,
    hidden: Artifact,
    judge: Judge,
    *,
    users: int | None = None,
    if_exists: IfExists = "error",
) -> Artifact:
    """Calibrate a judge and write the artefact.

    Args:
        out: Where.
        candidates: A candidates artefact.
        trees: A trees artefact of the same training view.
        hidden: A hidden artefact of the same training view and pretraining.
        judge: Asked for the candidates of the rebuilt pipeline.
        users: Ask about so many users alone, drawn among all by the seed that hid; None means all of them.
        if_exists: What to do when something is there.

    Returns:
        The artefact: `calibration.json` (the map fitted on all users), `folds.json` and `folds.safetensors`
        (fits without the users of a fold, and each user's fold), `out_of_fold.parquet` (the candidates with
        chances from a fit without their user, and whether they were hidden) and `measured.json` (what those
        are worth).

    Raises:
        LeakageError: The artefacts are of different training views.
        ConfigError: The hidden half was pretrained with other settings than the candidates, or there are
            fewer users.
        DataError: Too few hidden positives are among the candidates; told before the judge is asked.
    """
    check_same_train(candidates, trees, hidden)
    config = {name: hidden.config[name] for name in ("share", "by", "seed")}
    config |= {} if users is None else {"users": users}
    config |= {"judge": judge.name, "judge_options": decisive_options(judge)} | tree_stage.codes_read(trees)
    inputs = {"candidates": candidates.digest, "trees": trees.digest, "hidden": hidden.digest}

    def body(folder: Path) -> None:
        there = search_enough(candidates, hidden, users)
        judged, items = there.candidates.pairs()
        n_users, seed, partial = there.visible.n_users, config["seed"], partial_columns(judge)
        log.info("rebuilding the trees without the hidden positives")
        codes = rebuild_codes(trees, there.visible, there.scorer)
        columns, scores = score_table(judge, JudgeRequest(there.visible, codes, there.candidates))
        fit = fit_calibration(columns, scores, there.found, judged, n_users, seed, partial)
        measured = measure(fit.out_of_fold, there.found, judged) | _parts(fit, scores, there.found, judged)
        measured["users"] = int(there.chosen.sum())
        measured["hidden_interactions"] = there.hidden
        measured["score_means"] = score_means(columns, scores)
        measured["engine"] = engine_identity(judge)
        # whom the judge was not asked about, no fit has seen
        fold_of_user = np.where(there.chosen, fit.fold_of_user, np.uint8(FOLDS))
        write_json(folder / "calibration.json", fit.calibration.to_json())
        write_json(folder / "folds.json", [part.to_json() for part in fit.folds])
        save_arrays(folder / "folds.safetensors", {"fold_of_user": fold_of_user})
        write_json(folder / "measured.json", measured)
        pl.DataFrame(
            {
                "user": judged.astype(np.uint32),
                "item": items.astype(np.uint32),
                "rank": there.candidates.ranks().astype(np.uint16),
                "p_hidden": fit.out_of_fold,
                "hidden": there.found,
                "activity": there.visible.user_counts[judged].astype(np.uint32),
                "popularity": there.visible.item_counts[items].astype(np.uint32),
            }
        ).write_parquet(folder / OUT_OF_FOLD, compression="zstd")

    spec = Spec(KIND, config, inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def load_calibration(artifact: Artifact) -> tuple[Calibration, dict[str, Any]]:
    """Return the fitted map and what was measured."""
    fitted = json.loads((artifact.path / "calibration.json").read_bytes())
    return Calibration.from_json(fitted), json.loads((artifact.path / "measured.json").read_bytes())


def load_folds(artifact: Artifact) -> tuple[list[Calibration], NDArray[np.uint8]]:
    """Return the fits that have not seen the users of a fold, and each user's fold, uint8 [U].

    The last is the fit on all users that the judge was asked about, for those that it was not asked about.
    """
    parts = json.loads((artifact.path / "folds.json").read_bytes())
    fold_of_user = load_arrays(artifact.path / "folds.safetensors")["fold_of_user"]
    return [*map(Calibration.from_json, parts), load_calibration(artifact)[0]], fold_of_user


def score_means(columns: list[str], scores: NDArray[np.float32]) -> dict[str, float | None]:
    """Return each column's mean over the pairs that the judge looked at; None where it looked at none."""
    there = np.isfinite(scores)
    sums = np.where(there, scores, 0).sum(axis=0, dtype=np.float64)
    return {
        column: float(total / count) if count else None
        for column, total, count in zip(columns, sums, there.sum(axis=0), strict=True)
    }


def _parts(
    fit: CrossFit, scores: NDArray[np.float32], hidden: NDArray[np.bool_], users: NDArray[np.int64]
) -> dict[str, Any]:
    """Measure apart the pairs that the judge looked at and the others, where there are others."""
    looked = ~np.isnan(scores).any(axis=1)
    if looked.all():
        return {}
    parts = {}
    for name, rows in (("looked_at", looked), ("not_looked_at", ~looked)):
        part = measure(fit.out_of_fold[rows], hidden[rows], users[rows])
        parts[name] = {key: value for key, value in part.items() if key != "reliability"}
    return parts


def check_same_train(candidates: Artifact, *others: Artifact) -> None:
    """Refuse artefacts that were made from another training view than the candidates."""
    for other in others:
        other.check_train(str(candidates.train_digest))
