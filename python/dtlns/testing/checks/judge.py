"""What every judge must hold to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.candidates import Candidates
from dtlns.judges.base import HISTORY, Judge, JudgeRequest, partial_columns
from dtlns.judges.registry import prepared
from dtlns.plugins import load_plugin
from dtlns.testing.checks.world import CODES, N_ITEMS, N_USERS, expect, global_state_untouched, world

M = 6


def check_judge(kind: str | Callable[[], Judge], *, tolerance: float = 1e-6) -> None:
    """Check a judge: columns, shapes, determinism, and scores that belong to a pair and not to its request.

    Args:
        kind: Name of an entry point in `dtlns.judges`, or what makes a judge when called.
        tolerance: Absolute, between scores of the same pair in two requests; batched half precision needs
            more than the default.

    Raises:
        AssertionError: The judge breaks a rule; the message says which.

    Example:
        >>> check_judge("prefix")
    """
    make = load_plugin("dtlns.judges", kind) if isinstance(kind, str) else kind
    with global_state_untouched():
        judge, other = make(), make()
    with prepared(judge), prepared(other):
        _check(judge, other, tolerance)


def _check(judge: Judge, same: Judge, tolerance: float) -> None:
    request = _request()
    with global_state_untouched():
        scores = _scores(judge, request)
    expect(isinstance(getattr(judge, "name", None), str), "a judge has a name")
    for again in (judge, same):
        repeated = _scores(again, request)
        expect(_same(scores, repeated, tolerance), "the same request gives other scores")
    table = _by_pair(request, scores)
    for what, other in (
        ("the order", replace(request, candidates=_reversed(request.candidates))),
        ("the number", replace(request, candidates=_fewer(request.candidates))),
    ):
        found = _scores(judge, other)
        for pair, row in _by_pair(other, found).items():
            expect(
                _same(row, table[pair], tolerance),
                f"the score of {pair} depends on {what} of the candidates, but calibration compares "
                "scores of different requests",
            )
    for names in (["structural"], ["semantic", "structural"]):
        _scores(judge, replace(request, codes={name: CODES[name] for name in names}))
    third = {**CODES, "third": CODES["semantic"].shuffled(3)}
    _scores(judge, replace(request, codes=third))


def _request() -> JudgeRequest:
    """Everyone's first six unobserved items; user 0 has no history, user 1 one candidate."""
    train = world()
    observed = train.csr().toarray() > 0
    items = np.full((N_USERS, M), -1, dtype=np.int64)
    for user in range(N_USERS):
        free = np.flatnonzero(~observed[user])[:M]
        items[user, : len(free)] = free
    scores = np.where(items >= 0, np.arange(M, 0, -1), -np.inf).astype(np.float32)
    return JudgeRequest(train, CODES, Candidates(items, scores))


def _scores(judge: Judge, request: JudgeRequest) -> NDArray[np.float32]:
    items = request.candidates.items.copy()
    names, scores = judge.columns(request), judge.score(request)
    pairs = len(request.candidates.pairs()[0])
    expect(
        names and len(set(names)) == len(names) and all(isinstance(name, str) for name in names),
        f"columns are {names}, not different names",
    )
    expect(HISTORY not in names, f"the column {HISTORY!r} is added by dtlns")
    good = scores.dtype == np.float32 and scores.shape == (pairs, len(names))
    expect(good, f"scores are {scores.dtype} {scores.shape}, not float32 {(pairs, len(names))}")
    partial = [name in partial_columns(judge) for name in names]
    looked = ~np.isnan(scores[:, partial]).all(axis=1)
    expect(bool(np.isfinite(scores[:, ~np.array(partial)]).all()), "a score is not finite")
    expect(bool(np.isfinite(scores[looked]).all()), "a score is not finite")
    expect(np.array_equal(items, request.candidates.items), "the judge changed its request")
    return scores


def _same(one: NDArray[np.float32], other: NDArray[np.float32], tolerance: float) -> bool:
    return np.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)


def _by_pair(request: JudgeRequest, scores: NDArray[np.float32]) -> dict[tuple[int, int], Any]:
    users, items = request.candidates.pairs()
    return dict(zip(zip(users.tolist(), items.tolist(), strict=True), scores, strict=True))


def _reversed(found: Candidates) -> Candidates:
    items, scores = found.items.copy(), found.scores.copy()
    for row, value in zip(items, scores, strict=True):
        n = int((row >= 0).sum())
        row[:n], value[:n] = row[:n][::-1].copy(), value[:n][::-1].copy()
    return Candidates(items, scores)


def _fewer(found: Candidates) -> Candidates:
    items, scores = found.items[:, :2].copy(), found.scores[:, :2].copy()
    items[N_ITEMS // 2 :], scores[N_ITEMS // 2 :] = -1, -np.inf
    return Candidates(items, scores)
