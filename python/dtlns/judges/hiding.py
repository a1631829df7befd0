"""Hide some training positives, so that there are known false negatives to calibrate on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError, InputError

HideRule = Literal["random", "latest"]


def check_rule(train: TrainView, by: str) -> None:
    """Refuse to hide the latest interactions of a training view without times.

    Args:
        train: The training view.
        by: The rule.

    Raises:
        ConfigError: `by` is `latest`, and there are no timestamps.
    """
    if by == "latest" and train.timestamps is None:
        raise ConfigError(
            "hiding the latest interactions needs times, and the data set has none",
            allowed="hiding by auto or random",
            hint="or import the log with its column of times: `dtlns data import --timestamp COLUMN`",
        )


def hide_positives(
    train: TrainView, share: float = 0.1, by: HideRule = "random", seed: int = 0
) -> NDArray[np.bool_]:
    """Choose a share of each user's training interactions to hide.

    A user of h interactions loses ⌊share · h⌋ of them plus one more with a chance equal to the remainder, and
    always keeps at least one. Expected counts are exact, so short histories take part too.

    Args:
        train: The training view.
        share: Share of each user's interactions, in (0, 1).
        by: `random`, or `latest` to hide each user's last ones in time (as a temporal split does).
        seed: Seed of the choice.

    Returns:
        bool [E] in global interaction order, true where hidden. `train.keep(~hidden)` is what stays.

    Raises:
        InputError: `share` is out of range.
        ConfigError: `by` is `latest` and the data has no timestamps.
    """
    if not 0 < share < 1:
        raise InputError(f"the hidden share is {share}", allowed="more than 0 and less than 1")
    check_rule(train, by)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x68696465]))
    expected = share * train.user_counts
    counts = np.floor(expected).astype(np.int64)
    counts += rng.random(train.n_users) < expected - counts
    counts = np.minimum(counts, np.maximum(train.user_counts - 1, 0))

    users = train.user_of_interaction
    tie_break = rng.random(train.n_interactions)
    if by == "latest":
        assert train.timestamps is not None
        order = np.lexsort((tie_break, -train.timestamps, users))
    else:
        order = np.lexsort((tie_break, users))
    rank = (
        np.arange(train.n_interactions) - train.indptr[:-1][users]
    )  # position within the user, after sorting
    hidden = np.zeros(train.n_interactions, dtype=np.bool_)
    hidden[order] = rank < counts[users]
    return hidden


def is_member(
    indptr: NDArray[np.int64],
    indices: NDArray[np.uint32],
    users: NDArray[np.int64],
    items: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Tell for each (user, item) pair whether it is stored in a user-by-item table of sorted rows.

    Args:
        indptr: int64 [U + 1].
        indices: uint32 [E], increasing within a row.
        users: int64 [N].
        items: int64 [N]; negative entries are never members.

    Returns:
        bool [N].
    """
    if indices.size == 0:
        return np.zeros(len(users), dtype=np.bool_)
    span = int(max(int(indices.max()), int(items.max(initial=0)))) + 1
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    keys = rows * span + indices
    wanted = users * span + items
    at = np.searchsorted(keys, wanted)
    found: NDArray[np.bool_] = (items >= 0) & (keys[np.minimum(at, len(keys) - 1)] == wanted)
    return found
