"""What a judge is: it reads codes and histories and scores (user, candidate) pairs.

A judge's columns may be on any scale; calibration turns them into a chance. Higher must mean more likely to
be a false negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dtlns.candidates import Candidates
from dtlns.data.views import TrainView
from dtlns.trees import PathCodes


@dataclass(frozen=True, eq=False)
class JudgeRequest:
    """What a judge is shown: histories, codes by view, and the candidates to judge.

    Attributes:
        train: The histories.
        codes: Path codes [I] by view name.
        candidates: Candidates of every user, [U, M].
    """

    train: TrainView
    codes: Mapping[str, PathCodes]
    candidates: Candidates


class Judge(Protocol):
    """Scores candidates; stateless, so that the same request gives the same answer.

    A judge that does not look at every pair names in `partial_columns` the columns that are NaN for those
    that it leaves out; whether it looks at a pair depends on the pair alone.
    """

    name: str

    def columns(self, request: JudgeRequest) -> list[str]:
        """Return the names of the C score columns."""
        ...

    def score(self, request: JudgeRequest) -> NDArray[np.float32]:
        """Return float32 [N, C] for the N pairs of `request.candidates.pairs()`."""
        ...


def partial_columns(judge: Judge) -> tuple[str, ...]:
    """Return the names of a judge's columns that are NaN for the pairs that it does not look at."""
    return tuple(getattr(judge, "partial_columns", ()))


HISTORY = "log2_history"


def score_table(judge: Judge, request: JudgeRequest) -> tuple[list[str], NDArray[np.float32]]:
    """Return what calibration sees: the judge's columns, and the length of the user's history beside them.

    A user of long history has more hidden positives, and so has more of them among as many candidates. Judges
    that compare users with each other need to know that; the column is log2(1 + interactions).

    Args:
        judge: Any judge.
        request: What to judge.

    Returns:
        Names of the C + 1 columns, and float32 [N, C + 1].
    """
    users, _ = request.candidates.pairs()
    history = np.log2(1 + request.train.user_counts[users]).astype(np.float32)
    scores = judge.score(request)
    return [*judge.columns(request), HISTORY], np.concatenate([scores, history[:, None]], axis=1)
