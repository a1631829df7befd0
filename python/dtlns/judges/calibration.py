"""From judge scores to `p_hidden`: the chance that a candidate is one of the positives that were hidden.

A logistic regression with non-negative weights joins the score columns into one logit (more of any score
never lowers the chance), and a centred isotonic regression (Oron and Flournoy 2017) bends that logit
monotonically onto the observed rates. Beside the fit on all users there is one for each fold of users, made
without them: what it is worth is measured with those (`quality`).

A judge may leave some columns open (NaN) for some pairs, since it did not look at them. Such pairs get their
chance from the other columns, by a map that is fitted on all pairs; the map of the full rows is fitted on the
full rows alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.errors import DataError, InputError
from dtlns.judges.monotone import centred_isotonic, monotone_logistic

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted map from judge scores [N, C] to chances [N].

    Attributes:
        columns: Names of the C score columns.
        weights: float64 [C], non-negative.
        bias: Intercept of the logit.
        knots: float64 [Q, 2], increasing (logit, chance) pairs; linear between, constant beyond.
        unlooked: The map of the columns that are always there, for rows in which others are NaN; None where
            there are no such rows.
    """

    columns: list[str]
    weights: NDArray[np.float64]
    bias: float
    knots: NDArray[np.float64]
    unlooked: Calibration | None = None

    def logit(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the joined score, float64 [N]."""
        return self.bias + scores.astype(np.float64) @ self.weights

    def p_hidden(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated chance, float32 [N], that each candidate is a hidden positive.

        Args:
            scores: float32 [N, C], columns as in `columns`.
        """
        if scores.ndim != 2 or scores.shape[1] != len(self.columns):
            raise InputError(
                f"scores of shape {scores.shape}", allowed=f"[N, {len(self.columns)}] for {self.columns}"
            )
        chances = np.interp(self.logit(scores), self.knots[:, 0], self.knots[:, 1]).astype(np.float32)
        open_rows = np.isnan(scores).any(axis=1)
        if open_rows.any():
            if self.unlooked is None:
                raise InputError(
                    f"judge scores of row {open_rows.argmax()} hold NaN", allowed="finite numbers"
                )
            always = [self.columns.index(column) for column in self.unlooked.columns]
            chances[open_rows] = self.unlooked.p_hidden(scores[open_rows][:, always])
        return chances

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        rest = {} if self.unlooked is None else {"unlooked": self.unlooked.to_json()}
        return {
            "columns": self.columns,
            "weights": self.weights.tolist(),
            "bias": self.bias,
            "knots": self.knots.tolist(),
        } | rest

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Calibration:
        """Rebuild what `to_json` returned."""
        return cls(
            columns=list(value["columns"]),
            weights=np.asarray(value["weights"], dtype=np.float64),
            bias=float(value["bias"]),
            knots=np.asarray(value["knots"], dtype=np.float64),
            unlooked=cls.from_json(value["unlooked"]) if "unlooked" in value else None,
        )


@dataclass(frozen=True, eq=False)
class CrossFit:
    """A calibration, and the ones that measure it.

    Attributes:
        calibration: Fitted on all users.
        folds: One for each fold of users, fitted on the users of the other folds.
        fold_of_user: uint8 [U]; `len(folds)` for users that no fit has seen.
        out_of_fold: float32 [N], the chance of each pair from the fit that has not seen its user.
    """

    calibration: Calibration
    folds: list[Calibration]
    fold_of_user: NDArray[np.uint8]
    out_of_fold: NDArray[np.float32]


def folds_of_users(n_users: int, seed: int) -> NDArray[np.uint8]:
    """Return each user's fold, uint8 [U], drawn by the seed."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x666F6C64]))
    return rng.integers(0, FOLDS, size=n_users).astype(np.uint8)


def unseen_chances(
    folds: list[Calibration],
    fold_of_user: NDArray[np.uint8],
    users: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return each pair's chance from the fit that has not seen its user, float32 [N].

    Args:
        folds: As in `CrossFit`. Where some users are in none, the fit on all the others comes last.
        fold_of_user: uint8 [U].
        users: int64 [N].
        scores: float32 [N, C].
    """
    fold = fold_of_user[users]
    chances = np.empty(len(users), dtype=np.float32)
    for held, part in enumerate(folds):
        rows = fold == held
        chances[rows] = part.p_hidden(scores[rows])
    return chances


def fit_calibration(
    columns: list[str],
    scores: NDArray[np.float32],
    hidden: NDArray[np.bool_],
    users: NDArray[np.int64],
    n_users: int,
    seed: int = 0,
    partial: Collection[str] = (),
) -> CrossFit:
    """Fit the map on all users, and for each fold of users on the others.

    Args:
        columns: Names of the C score columns.
        scores: float32 [N, C], finite, of the candidates of the pipeline that was rebuilt without the hidden
            positives.
        hidden: bool [N], whether a candidate is a hidden positive.
        users: int64 [N], the user of each candidate; a user is in one fold only.
        n_users: U.
        seed: Seed of the folds.
        partial: Columns that are NaN, all of them, for the pairs that the judge did not look at.

    Raises:
        DataError: As `check_positives`, for all pairs and for those that the judge looked at.
        InputError: A score is not finite.
    """
    fold_of_user = folds_of_users(n_users, seed)
    check_positives(hidden, users, fold_of_user)
    at = [columns.index(column) for column in partial]
    looked = ~np.isnan(scores[:, at]).all(axis=1) if at else np.ones(len(users), dtype=np.bool_)
    if not looked.all():
        check_positives(hidden[looked], users[looked], fold_of_user, "candidates that the judge looked at")

    def fit(rows: NDArray[np.bool_]) -> Calibration:
        whole = _fit(columns, scores[rows & looked], hidden[rows & looked])
        if not at:
            return whole
        always = [column for column in columns if column not in partial]
        kept = [columns.index(column) for column in always]
        return replace(whole, unlooked=_fit(always, scores[rows][:, kept], hidden[rows]))

    folds = [fit(fold_of_user[users] != held) for held in range(FOLDS)]
    whole = fit(np.ones(len(users), dtype=np.bool_))
    return CrossFit(whole, folds, fold_of_user, unseen_chances(folds, fold_of_user, users, scores))


def check_positives(
    hidden: NDArray[np.bool_],
    users: NDArray[np.int64],
    fold_of_user: NDArray[np.uint8],
    what: str = "candidates",
) -> None:
    """Refuse pairs from which nothing could be learnt or measured; it needs no score.

    Args:
        hidden: bool [N], whether a candidate is a hidden positive.
        users: int64 [N].
        fold_of_user: uint8 [U].
        what: What the pairs are, for the message.

    Raises:
        DataError: Fewer than ten hidden positives are among them, or a fold has all of them.
    """
    positives = int(hidden.sum())
    if positives < 2 * FOLDS or positives == len(hidden):
        raise DataError(
            f"{positives} of {len(hidden)} {what} are hidden positives, too few to calibrate on",
            allowed=f"at least {2 * FOLDS}",
            hint="hide more, take more candidates per user, calibrate on more users, or train without false "
            "negatives: `dtlns train`",
        )
    for held in range(FOLDS):
        fitted = fold_of_user[users] != held
        if not hidden[fitted].any() or hidden[fitted].all():
            raise DataError(
                f"the {positives} hidden positives belong to {len(np.unique(users[hidden]))} of "
                f"{len(np.unique(users))} users, too few users to fit on some and measure on others",
                hint="use a log of more users, or calibrate on more of them",
            )


def _fit(columns: list[str], scores: NDArray[np.float32], hidden: NDArray[np.bool_]) -> Calibration:
    x = scores.astype(np.float64)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise InputError(
            f"judge score {x[row, column]} in row {row}, column {columns[column]!r}", allowed="finite numbers"
        )
    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    weights, bias = monotone_logistic(x / scale, hidden)
    weights = weights / scale
    return Calibration(columns, weights, bias, centred_isotonic(bias + x @ weights, hidden))
