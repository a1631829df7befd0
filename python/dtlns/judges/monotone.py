"""Two monotone fits: a logistic regression that no score lowers, and a curve that only rises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.isotonic import IsotonicRegression

POSITIVES_PER_BIN = 20
MAX_BINS = 200
RIDGE = 1e-3  # keeps the weights finite when a column separates the few positives


def monotone_logistic(x: NDArray[np.float64], hidden: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression by maximum likelihood, with weights >= 0.

    Args:
        x: float64 [N, C], of about unit scale.
        hidden: bool [N], of both kinds.

    Returns:
        Weights, float64 [C], and the intercept.
    """
    sign = np.where(hidden, 1.0, -1.0)

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (theta[0] + x @ theta[1:])
        pull = -sign * expit(-margin) / len(sign)
        gradient = np.concatenate([[pull.sum()], x.T @ pull + RIDGE * theta[1:]])
        return -log_expit(margin).mean() + RIDGE / 2 * float(theta[1:] @ theta[1:]), gradient

    rate = hidden.mean()
    start = np.concatenate([[np.log(rate / (1 - rate))], np.zeros(x.shape[1])])
    bounds = [(None, None)] + [(0.0, None)] * x.shape[1]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[1:]), float(found.x[0])


def centred_isotonic(logit: NDArray[np.float64], hidden: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return knots of an isotonic fit over bins, each flat block drawn together into its centre.

    There are as many bins, of as many pairs each, as there are twenties of positives, so that one lucky pair
    at the end does not become a certainty. From an outer centre the curve goes straight to where the logistic
    one would be at the extreme score, so that extreme scores keep their order. Where positives crowd at the
    top, that line lies above the observed rate (docs/concepts/false-negatives.md has an example).

    Source: Oron and Flournoy (2017), on bins.

    Args:
        logit: float64 [N].
        hidden: bool [N].

    Returns:
        float64 [Q, 2], increasing (logit, chance) pairs.
    """
    n_bins = int(np.clip(hidden.sum() // POSITIVES_PER_BIN, 2, MAX_BINS))
    order = np.argsort(logit, kind="stable")
    parts = [part for part in np.array_split(order, n_bins) if len(part)]
    size = np.array([len(part) for part in parts], dtype=np.float64)
    # Means of equal logits differ in their last bits; sorted again, they are one place to the fit.
    centre = np.sort(np.round([logit[part].mean() for part in parts], 9))
    # Half a hit and half a miss in each bin: a chance is never exactly zero or one.
    rate = np.array([(hidden[part].sum() + 0.5) / (len(part) + 1) for part in parts])
    fitted = IsotonicRegression().fit_transform(centre, rate, sample_weight=size)
    block = np.concatenate([[0], np.cumsum((np.diff(fitted) > 0) & (np.diff(centre) > 0))])
    weight = np.bincount(block, weights=size)
    x = np.bincount(block, weights=size * centre) / weight
    y = np.bincount(block, weights=size * fitted) / weight
    ends = []
    for end, at in ((logit.min(), 0), (logit.max(), -1)):
        if end != x[at]:
            ends.append((end, expit(end - x[at] + np.log(y[at] / (1 - y[at])))))
    knots = np.concatenate([np.stack([x, y], axis=1), np.array(ends).reshape(-1, 2)])
    return np.asarray(knots[np.argsort(knots[:, 0], kind="stable")])
