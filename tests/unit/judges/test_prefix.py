"""The prefix judge against a count by hand and by brute force."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from dtlns import PathCodes, TrainView
from dtlns.candidates import Candidates
from dtlns.judges.base import JudgeRequest
from dtlns.judges.prefix import PrefixJudge, history_coverage

PATHS = [(0, 0), (0, 0), (0, 1), (1,), (1,), (2, 0), (2, 1, 3), (3,)]


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    depth = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        depth += 1
    return depth


def _naive_coverage(histories: list[list[int]], depth: int) -> list[float]:
    shares = []
    for history in histories:
        reach = [max((_common(path, PATHS[j]) for j in history), default=0) for path in PATHS]
        shares.append(max(sum(r >= depth for r in reach), 1) / len(PATHS))
    return shares


def test_coverage_agrees_with_counting_every_item() -> None:
    histories = [[0], [0, 3], [6], [], [2, 5, 7]]
    matrix = sp.lil_array((len(histories), len(PATHS)))
    for user, items in enumerate(histories):
        matrix[user, items] = 1
    train = TrainView.from_csr(matrix.tocsr())
    coverage = history_coverage(PathCodes.from_paths(PATHS), train)
    assert coverage.shape == (5, 4)
    for depth in range(4):
        np.testing.assert_allclose(coverage[:, depth], _naive_coverage(histories, depth))


def test_scores_by_hand() -> None:
    train = TrainView.from_csr(sp.csr_array(([1.0], ([0], [0])), shape=(1, len(PATHS))))
    items = np.array([[1, 2, 7, -1]])
    candidates = Candidates(items, np.zeros((1, 4), np.float32))
    request = JudgeRequest(train, {"only": PathCodes.from_paths(PATHS)}, candidates)
    # item 1 shares the leaf (2 of 8 items reach so deep), item 2 the branch (3 of 8), item 7 nothing
    expected = [-np.log2(2 / 8), -np.log2(3 / 8), 0.0]
    judge = PrefixJudge()
    assert judge.columns(request) == ["only"]
    np.testing.assert_allclose(judge.score(request)[:, 0], expected, rtol=1e-6)
