"""Judging: a judge scores the candidates, and the calibration says what chance each score means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact, write_json
from dtlns.config import SelectionConfig
from dtlns.errors import ConfigError
from dtlns.false_negatives import FalseNegatives
from dtlns.judges.base import Judge, JudgeRequest, score_table
from dtlns.plugins import load_plugin
from dtlns.stages.calibration import check_same_train, load_calibration
from dtlns.stages.candidates import load_candidates
from dtlns.stages.trees import load_codes
from dtlns.training.settings import Use

KIND = "judged"


def write_judged(
    out: Path, candidates: Artifact, trees: Artifact, calibration: Artifact, *, if_exists: IfExists = "error"
) -> Artifact:
    """Judge all candidates and write the artefact.

    Args:
        out: Where.
        candidates: What to judge.
        trees: Codes of the same training view.
        calibration: Of the same judge, candidates and trees.
        if_exists: What to do when something is there.

    Returns:
        The artefact: `judged.parquet` (user, item, rank, one column per score, p_hidden) and `summary.json`.

    Raises:
        ConfigError: The calibration was made with other candidates or trees.
    """
    check_same_train(candidates, trees, calibration)
    inputs = {"candidates": candidates.digest, "trees": trees.digest, "calibration": calibration.digest}
    for name in ("candidates", "trees"):
        if calibration.manifest["inputs"][name] != inputs[name]:
            raise ConfigError(
                f"{calibration.path} was made with other {name}",
                hint="run `dtlns calibrate` with the ones at hand",
            )
    name = calibration.config["judge"]

    def body(folder: Path) -> None:
        found, train = load_candidates(candidates)
        judge: Judge = load_plugin("dtlns.judges", name)()
        request = JudgeRequest(train, load_codes(trees), found)
        columns, scores = score_table(judge, request)
        fitted, measured = load_calibration(calibration)
        p_hidden = fitted.p_hidden(scores)
        users, ranks = np.nonzero(found.items >= 0)
        frame = pl.DataFrame(
            {
                "user": users.astype(np.uint32),
                "item": found.items[users, ranks].astype(np.uint32),
                "rank": ranks.astype(np.uint16),
                **{f"score_{column}": scores[:, at] for at, column in enumerate(columns)},
                "p_hidden": p_hidden,
            }
        )
        frame.write_parquet(folder / "judged.parquet", compression="zstd")
        write_json(folder / "summary.json", _summary(columns, scores, p_hidden, measured))

    spec = Spec(KIND, {"judge": name}, inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def _summary(
    columns: list[str], scores: np.ndarray[Any, Any], p_hidden: np.ndarray[Any, Any], measured: dict[str, Any]
) -> dict[str, Any]:
    quantiles = (0.1, 0.5, 0.9, 0.99)
    return {
        "pairs": len(p_hidden),
        "p_hidden_mean": float(p_hidden.mean()),
        "p_hidden_quantiles": {str(q): float(np.quantile(p_hidden, q)) for q in quantiles},
        # The shift between the rebuilt pipeline and this one: close means that the calibration carries over.
        "score_means": dict(zip(columns, scores.mean(axis=0).tolist(), strict=True)),
        "score_means_when_calibrated": measured["score_means"],
        "base_rate_when_calibrated": measured["base_rate"],
    }


def select_false_negatives(
    judged: Artifact, n_users: int, n_items: int, use: Use, selection: SelectionConfig
) -> FalseNegatives:
    """Take each user's best judged candidates by `p_hidden`.

    Args:
        judged: A judged artefact.
        n_users: U.
        n_items: I.
        use: With `weighted`, weights are min(1, scale · p_hidden); else they are one.
        selection: How many for each user, and the scale.

    Returns:
        False negatives as a user-by-item table. Ties at the cut go to the better rank.
    """
    frame = pl.read_parquet(judged.path / "judged.parquet", columns=["user", "item", "rank", "p_hidden"])
    users, items = (frame[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    p_hidden = frame["p_hidden"].to_numpy()
    order = np.lexsort((frame["rank"].to_numpy(), -p_hidden, users))
    first = np.searchsorted(users[order], users[order])  # where each row's user begins
    kept = order[np.arange(len(order)) - first < selection.top]
    weights = np.ones(len(kept), dtype=np.float32)
    if use == "weighted":
        weights = np.minimum(np.float32(selection.scale) * p_hidden[kept], np.float32(1))
    return FalseNegatives.from_pairs(users[kept], items[kept], weights, n_users=n_users, n_items=n_items)
