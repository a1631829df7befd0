"""What the tests of real engines ask: pairs of random trees, and of Amazon-sports where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from dtlns import PathCodes, TrainView
from dtlns.candidates import Candidates
from dtlns.judges.base import JudgeRequest

SPORTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "amazon-sports"
VIEWS = ("structural", "semantic")


def random_request(users: int, candidates: int) -> JudgeRequest:
    """Return histories of about 16 of 200 items, with codes of random trees."""
    random = np.random.default_rng(0)
    items = 200
    liked = random.random((users, items)) < 0.08
    codes = {
        name: PathCodes.from_paths([tuple(path) for path in random.integers(0, 4, (items, 5)).tolist()])
        for name in VIEWS
    }
    some = np.stack([random.permutation(items)[:candidates] for _ in range(users)])
    return JudgeRequest(TrainView.from_csr(sp.csr_array(liked)), codes, _candidates(some))


def sports_request(users: int) -> JudgeRequest:
    """Return the first users of the published candidates, 20 of each, with the published codes."""
    table = np.loadtxt(SPORTS / "candidate_items.txt", dtype=np.int64, max_rows=users)
    paths = [_paths(SPORTS / f"reference_{view}_paths.txt") for view in VIEWS]
    place = {item: at for at, item in enumerate(sorted(paths[0]))}
    train = np.loadtxt(SPORTS / "train.txt", dtype=np.int64)
    train = train[np.isin(train[:, 0], table[:, 0])]
    row = {user: at for at, user in enumerate(table[:, 0].tolist())}
    at = [row[user] for user in train[:, 0].tolist()], [place[item] for item in train[:, 1].tolist()]
    liked = sp.csr_array((np.ones(len(train), dtype=np.bool_), at), shape=(users, len(place)))
    codes = {
        view: PathCodes.from_paths([one[item] for item in place])
        for view, one in zip(VIEWS, paths, strict=True)
    }
    some = np.array([[place[item] for item in line] for line in table[:, 1:].tolist()])
    return JudgeRequest(TrainView.from_csr(liked), codes, _candidates(some))


def _paths(file: Path) -> dict[int, tuple[int, ...]]:
    lines = (line.split(": ") for line in file.read_text().splitlines())
    return {int(item): tuple(map(int, path.split("-"))) for item, path in lines}


def _candidates(items: np.ndarray) -> Candidates:
    falling = np.broadcast_to(-np.arange(items.shape[1], dtype=np.float32), items.shape)
    return Candidates(items, np.ascontiguousarray(falling))
