"""From features to `p_hidden`: a classifier, cross-fitted by user, and the calibration of its logits.

For each of five folds of users a classifier is fitted on the others, and is the one that is asked about the
users of that fold: what is known to be no hidden positive of a user has no say in that user's chances. It
sees all hidden positives and a sample of the other pairs, which are hundreds of times as many. The logits are
bent onto the observed rates by the monotone calibration of judges (`judges.calibration`), with the same
folds; that also puts right what the sampling did to the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dtlns.judges.calibration import (
    FOLDS,
    CrossFit,
    check_positives,
    fit_calibration,
    folds_of_users,
    unseen_chances,
)

Kind = Literal["boosting", "logistic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEGATIVES_PER_POSITIVE = 30


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A classifier for each fold of users, and the calibration of their logits.

    Attributes:
        parts: One for each fold of users, fitted on the users of the other folds.
        calibration: Of the logits, with the folds; its `out_of_fold`, float32 [N], are the chances of the
            pairs that it was fitted on, each from fits that have not seen the user.
    """

    parts: list[Any]
    calibration: CrossFit

    def chances(self, features: NDArray[np.float32], users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return `p_hidden` of each pair, float32 [N], from fits that have not seen its user.

        Args:
            features: float32 [N, F], columns as fitted.
            users: int64 [N].
        """
        fold_of_user = self.calibration.fold_of_user
        logits = _unseen_logits(self.parts, fold_of_user[users], features)
        return unseen_chances(self.calibration.folds, fold_of_user, users, logits)


def fit_classifier(
    kind: Kind,
    features: NDArray[np.float32],
    hidden: NDArray[np.bool_],
    users: NDArray[np.int64],
    n_users: int,
    seed: int = 0,
) -> FittedModel:
    """Fit a classifier for each fold of users on the others.

    Args:
        kind: `boosting`, gradient-boosted trees over histograms; or `logistic`, on standardised features.
        features: float32 [N, F]; NaN where something is not known.
        hidden: bool [N], whether a pair is a hidden positive.
        users: int64 [N].
        n_users: U.
        seed: Of the folds and the boosting.

    Raises:
        DataError: There are too few hidden positives, or too few users with any (`check_positives`).
    """
    folds = folds_of_users(n_users, seed)
    check_positives(hidden, users, folds)
    fold_of_pair = folds[users]
    sampled = _sample(hidden, seed)
    parts = []
    for held in range(FOLDS):
        rows = np.flatnonzero((fold_of_pair != held) & sampled)
        parts.append(_classifier(kind, seed).fit(features[rows], hidden[rows]))
    logits = _unseen_logits(parts, fold_of_pair, features)
    calibration = fit_calibration(["logit"], logits, hidden, users, n_users, seed)
    return FittedModel(parts, calibration)


def _sample(hidden: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Tell which pairs classifiers are fitted on: all positives, and some of the others."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x73616D70]))
    positives = int(hidden.sum())
    share = NEGATIVES_PER_POSITIVE * positives / max(len(hidden) - positives, 1)
    kept: NDArray[np.bool_] = hidden | (rng.random(len(hidden)) < share)
    return kept


def _classifier(kind: Kind, seed: int) -> Any:
    if kind == "logistic":
        # What is not known is a flag, and no more or less than the mean.
        known = SimpleImputer(strategy="mean", add_indicator=True, keep_empty_features=True)
        return make_pipeline(known, StandardScaler(), LogisticRegression(max_iter=500))
    # Positives are rare: leaves of fifty pairs and a pull towards zero keep single ones from deciding.
    return HistGradientBoostingClassifier(
        max_leaf_nodes=15,
        min_samples_leaf=50,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed % 2**32,  # all that scikit-learn takes
    )


def _logits(model: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [N, 1]."""
    return np.asarray(model.decision_function(features), dtype=np.float32)[:, None]


def _unseen_logits(
    parts: list[Any], fold_of_pair: NDArray[np.uint8], features: NDArray[np.float32]
) -> NDArray[np.float32]:
    logits = np.empty((len(features), 1), dtype=np.float32)
    for held, part in enumerate(parts):
        rows = fold_of_pair == held
        if rows.any():
            logits[rows] = _logits(part, features[rows])
    return logits
