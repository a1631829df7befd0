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
    """Scores candidates; stateless, so that the same request gives the same answer."""

    name: str

    def columns(self, request: JudgeRequest) -> list[str]:
        """Return the names of the C score columns."""
        ...

    def score(self, request: JudgeRequest) -> NDArray[np.float32]:
        """Return float32 [N, C] for the N pairs of `request.candidates.pairs()`."""
        ...
