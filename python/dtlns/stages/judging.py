"""Judging: a judge scores the candidates, and the calibration says what chance each score means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact, write_json
from dtlns.candidates import Candidates
from dtlns.config import JudgeConfig
from dtlns.errors import ConfigError
from dtlns.judges.base import Judge, JudgeRequest, partial_columns, score_table
from dtlns.judges.calibration import unseen_chances
from dtlns.judges.registry import build_judge, decisive_options, engine_identity
from dtlns.stages.calibration import check_same_train, load_calibration, load_folds, score_means
from dtlns.stages.candidates import load_candidates
from dtlns.stages.trees import codes_read, load_codes

KIND = "judged"


def write_judged(
    out: Path,
    candidates: Artifact,
    trees: Artifact,
    calibration: Artifact,
    *,
    judge: Judge | None = None,
    if_exists: IfExists = "error",
) -> Artifact:
    """Judge all candidates and write the artefact.

    Args:
        out: Where.
        candidates: What to judge.
        trees: Codes of the same training view.
        calibration: Of the same judge, candidates and trees.
        judge: The calibrated one, where it has means of its own, such as servers to ask; None makes it from
            what the calibration knows.
        if_exists: What to do when something is there.

    Returns:
        The artefact: `judged.parquet` (user, item, rank, one column per score, null where the judge did not
        look, p_hidden, and p_unseen: the chance from a fit without that user, for measuring) and
        `summary.json`.

    Raises:
        ConfigError: The calibration was made with other candidates or trees, or for another judge.
    """
    check_same_train(candidates, trees, calibration)
    inputs = {"candidates": candidates.digest, "trees": trees.digest, "calibration": calibration.digest}
    for name in ("candidates", "trees"):
        if calibration.manifest["inputs"][name] != inputs[name]:
            raise ConfigError(
                f"{calibration.path} was made with other {name}",
                hint="run `dtlns calibrate` with the ones at hand",
            )
    judge = judge or calibrated_judge(calibration)
    check_calibrated(judge, calibration)

    def body(folder: Path) -> None:
        found, train = load_candidates(candidates)
        request = JudgeRequest(train, load_codes(trees), found)
        columns, scores = score_table(judge, request)
        fitted, measured = load_calibration(calibration)
        _check_same("the engine's", engine_identity(judge), measured.get("engine"), calibration)
        p_hidden = fitted.p_hidden(scores)
        unseen = unseen_chances(*load_folds(calibration), found.pairs()[0], scores)
        named = {column: scores[:, at] for at, column in enumerate(columns)}
        table = judged_table(found, named, p_hidden).with_columns(pl.Series("p_unseen", unseen))
        table = table.with_columns(pl.col(f"score_{name}").fill_nan(None) for name in partial_columns(judge))
        table.write_parquet(folder / "judged.parquet", compression="zstd")
        # The shift between the rebuilt pipeline and this one: close means that the calibration carries over.
        shift = {
            "score_means": score_means(columns, scores),
            "score_means_when_calibrated": measured["score_means"],
            "base_rate_when_calibrated": measured["base_rate"],
            "engine": measured.get("engine"),
        }
        write_json(folder / "summary.json", summarise_chances(p_hidden) | shift)

    told = {"judge": judge.name, "judge_options": decisive_options(judge)}
    spec = Spec(KIND, told | codes_read(trees), inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def calibrated_judge(calibration: Artifact) -> Judge:
    """Make the judge that was calibrated, by its usual means."""
    told = calibration.config
    return build_judge(JudgeConfig(name=told["judge"], options=told.get("judge_options", {})))


def check_calibrated(judge: Judge, calibration: Artifact) -> None:
    """Refuse a judge that is not the one that was calibrated.

    Raises:
        ConfigError: Its name, or an option that decides its answers, is another one.
    """
    told = calibration.config
    if judge.name != told["judge"]:
        raise ConfigError(f"the judge is {judge.name}, and {calibration.path} calibrates {told['judge']}")
    _check_same("the judge's", decisive_options(judge), told.get("judge_options"), calibration)


def _check_same(
    whose: str, mine: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None, by: Artifact
) -> None:
    """Refuse a value that differs from the calibration's: scores may mean something else."""
    mine, theirs = mine or {}, theirs or {}
    for name in sorted({*mine, *theirs}):
        if mine.get(name) != theirs.get(name):
            raise ConfigError(
                f"{whose} {name} is {mine.get(name)!r}, and was {theirs.get(name)!r} when {by.path} "
                "calibrated it",
                hint="calibrate again with `dtlns calibrate`",
            )


def judged_table(
    candidates: Candidates, scores: Mapping[str, NDArray[np.float32]], p_hidden: NDArray[np.float32]
) -> pl.DataFrame:
    """Return the rows of `judged.parquet`: `user`, `item`, `rank`, a column for each score, `p_hidden`."""
    users, items = candidates.pairs()
    return pl.DataFrame(
        {
            "user": users.astype(np.uint32),
            "item": items.astype(np.uint32),
            "rank": candidates.ranks().astype(np.uint16),
            **{f"score_{name}": column for name, column in scores.items()},
            "p_hidden": p_hidden,
        }
    )


def summarise_chances(p_hidden: NDArray[np.float32]) -> dict[str, Any]:
    """Return the number of chances, their mean and quantiles, plain JSON values."""
    quantiles = (0.1, 0.5, 0.9, 0.99)
    return {
        "pairs": len(p_hidden),
        "p_hidden_mean": float(p_hidden.mean(dtype=np.float64)),
        "p_hidden_quantiles": {str(q): float(np.quantile(p_hidden, q)) for q in quantiles},
    }
