"""From features to `p_hidden`: a classifier, cross-fitted by user, and the calibration of its logits.

The classifier is fitted on all users and, for each of five folds of users, on the others. It sees all hidden
positives and a sample of the other pairs, which are hundreds of times as many. Logits of all pairs, each from
a fit that has not seen the user, are then bent onto the observed rates by the monotone calibration of judges
(`judges.calibration`), with the same folds; that also puts right what the sampling did to the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dtlns.errors import DataError
from dtlns.judges.calibration import FOLDS, CrossFit, fit_calibration, unseen_chances

Kind = Literal["boosting", "logistic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEGATIVES_PER_POSITIVE = 30


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A classifier with its calibration, and those that measure it.

    Attributes:
        whole: Fitted on all users.
        parts: One for each fold of users, fitted on the users of the other folds.
        calibration: Of the logits, with the folds; its `out_of_fold`, float32 [N], are the chances of the
            pairs that it was fitted on, each from fits that have not seen the user.
    """

    whole: Any
    parts: list[Any]
    calibration: CrossFit

    def chances(
        self, features: NDArray[np.float32], users: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the chance of each pair, and the one from fits that have not seen its user.

        Args:
            features: float32 [N, F], columns as fitted.
            users: int64 [N].

        Returns:
            `p_hidden` and `p_unseen`, float32 [N].
        """
        fold_of_user = self.calibration.fold_of_user
        p_hidden = self.calibration.calibration.p_hidden(_logits(self.whole, features))
        unseen = _unseen_logits(self.parts, fold_of_user[users], features)
        return p_hidden, unseen_chances(self.calibration.folds, fold_of_user, users, unseen)


def fit_classifier(
    kind: Kind,
    features: NDArray[np.float32],
    hidden: NDArray[np.bool_],
    users: NDArray[np.int64],
    n_users: int,
    seed: int = 0,
) -> FittedModel:
    """Fit the classifier on all users, and for each fold of users on the others.

    Args:
        kind: `boosting`, gradient-boosted trees over histograms; or `logistic`, on standardised features.
        features: float32 [N, F], finite.
        hidden: bool [N], whether a pair is a hidden positive.
        users: int64 [N].
        n_users: U.
        seed: Of the folds and the boosting.

    Raises:
        DataError: There are too few hidden positives, or too few users with any.
    """
    folds = folds_of_users(n_users, seed)
    fold_of_pair = folds[users]
    sampled = _sample(hidden, seed)
    parts = []
    for held in range(FOLDS):
        seen = fold_of_pair != held
        if not hidden[seen].any() or hidden[seen].all():
            raise DataError(
                f"{int(hidden.sum())} hidden positives among {len(hidden)} candidates are too few to fit on",
                hint="hide more, or use a log of more users",
            )
        rows = np.flatnonzero(seen & sampled)
        parts.append(_classifier(kind, seed).fit(features[rows], hidden[rows]))
    logits = _unseen_logits(parts, fold_of_pair, features)
    calibration = fit_calibration(["logit"], logits, hidden, users, n_users, seed)
    return FittedModel(_classifier(kind, seed).fit(features[sampled], hidden[sampled]), parts, calibration)


def folds_of_users(n_users: int, seed: int) -> NDArray[np.uint8]:
    """Return each user's fold, uint8 [U]: the folds that `fit_calibration` makes of the same seed."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x666F6C64]))
    return rng.integers(0, FOLDS, size=n_users).astype(np.uint8)


def _sample(hidden: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Tell which pairs classifiers are fitted on: all positives, and some of the others."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x73616D70]))
    positives = int(hidden.sum())
    share = NEGATIVES_PER_POSITIVE * positives / max(len(hidden) - positives, 1)
    kept: NDArray[np.bool_] = hidden | (rng.random(len(hidden)) < share)
    return kept


def _classifier(kind: Kind, seed: int) -> Any:
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    # Positives are rare: leaves of fifty pairs and a pull towards zero keep single ones from deciding.
    return HistGradientBoostingClassifier(
        max_leaf_nodes=15,
        min_samples_leaf=50,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
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
