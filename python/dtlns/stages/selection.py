"""Selection: each user's best judged candidates are the false negatives that training uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import Artifact
from dtlns.candidates import make_candidates
from dtlns.config import JudgeConfig, SelectionConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.false_negatives import FalseNegatives
from dtlns.judges.base import JudgeRequest, score_table
from dtlns.judges.quality import best_of_each_user
from dtlns.judges.registry import build_again
from dtlns.models.base import Scorer
from dtlns.stages.calibration import load_calibration
from dtlns.stages.trees import load_codes
from dtlns.training.settings import WEIGHED, Use


def select_false_negatives(
    judged: Artifact, n_users: int, n_items: int, use: Use, selection: SelectionConfig
) -> FalseNegatives:
    """Take each user's best judged candidates by `p_hidden`.

    Args:
        judged: A judged artefact.
        n_users: U.
        n_items: I.
        use: With `avoid`, `weighted` and `sampled`, weights are as the selection says; else they are one.
        selection: How many for each user, and the scale.

    Returns:
        False negatives as a user-by-item table. Ties at the cut go to the better rank, and a pair without
        any chance is never one.
    """
    frame = pl.read_parquet(judged.path / "judged.parquet", columns=["user", "item", "rank", "p_hidden"])
    users, items = (frame[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    p_hidden, ranks = frame["p_hidden"].to_numpy(), frame["rank"].to_numpy()
    return _best(users, items, p_hidden, ranks, (n_users, n_items), use, selection)


def refresher(
    judged: Artifact,
    trees: Artifact,
    calibration: Artifact,
    train: TrainView,
    use: Use,
    selection: SelectionConfig,
) -> Callable[[Scorer], FalseNegatives]:
    """Return what finds false negatives anew: among a model's candidates, by the same judge.

    Args:
        judged: What it starts from; its judge is asked again.
        trees: The trees that it was judged with.
        calibration: The one that it was judged with.
        train: The training interactions.
        use: As in `select_false_negatives`.
        selection: As there.

    Raises:
        ConfigError: It was judged with others, or by what nobody can ask again: a control, or a server.
    """
    inputs = judged.manifest["inputs"]
    if "calibration" not in inputs:
        raise ConfigError(
            f"{judged.path} comes from {judged.config['judge']!r}, which cannot be asked again",
            hint="set refresh_every = 0",
        )
    for name, artifact in (("trees", trees), ("calibration", calibration)):
        if inputs[name] != artifact.digest:
            raise ConfigError(f"{judged.path} was judged with other {name} than {artifact.path}")
    told = calibration.config
    judge = build_again(JudgeConfig(name=told["judge"], options=told.get("judge_options", {})))
    codes, (fitted, _) = load_codes(trees), load_calibration(calibration)
    m = int(pl.read_parquet(judged.path / "judged.parquet", columns=["rank"])["rank"].max()) + 1  # type: ignore[arg-type]

    def refresh(scorer: Scorer) -> FalseNegatives:
        found = make_candidates(scorer, train, m)
        _, scores = score_table(judge, JudgeRequest(train, codes, found))
        size = train.n_users, train.n_items
        return _best(*found.pairs(), fitted.p_hidden(scores), found.ranks(), size, use, selection)

    return refresh


def _best(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    p_hidden: NDArray[np.float32],
    ranks: NDArray[np.integer[Any]],
    size: tuple[int, int],
    use: Use,
    selection: SelectionConfig,
) -> FalseNegatives:
    """Take each user's best pairs and weigh them."""
    kept = np.flatnonzero(best_of_each_user(users, p_hidden, ranks, selection.top))
    weights = np.ones(len(kept), dtype=np.float32)
    if use in WEIGHED and selection.weight is not None:
        weights[:] = selection.weight
    elif use in WEIGHED:
        weights = np.minimum(np.float32(selection.scale) * p_hidden[kept], np.float32(1))
    return FalseNegatives.from_pairs(users[kept], items[kept], weights, n_users=size[0], n_items=size[1])
