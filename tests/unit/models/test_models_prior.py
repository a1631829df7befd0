"""A host with a prior: scores by hand, on tensors as on arrays, and back from its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns.errors import InputError
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.prior import WithPrior
from dtlns.models.registry import load_scorer


def host() -> EmbeddingScorer:
    rng = np.random.default_rng(0)
    return EmbeddingScorer(rng.normal(size=(4, 3)).astype("f4"), rng.normal(size=(5, 3)).astype("f4"))


def prior() -> sp.csr_array:
    rows = np.zeros((4, 5), dtype=np.float32)
    rows[0, 1], rows[0, 4], rows[2, 3] = 2.0, 0.5, 1.5
    return sp.csr_array(rows)


def test_the_prior_is_added_pair_by_pair() -> None:
    users = np.array([2, 0, 3, 0])
    found = WithPrior(host(), prior()).score(users)
    assert np.array_equal(found, host().score(users) + prior().toarray()[users])


def test_tensors_give_the_same_scores() -> None:
    users = np.array([3, 2, 0])
    scorer = WithPrior(host(), prior())
    assert np.allclose(scorer.score_tensor(torch.from_numpy(users)).numpy(), scorer.score(users), atol=1e-6)


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    scorer = WithPrior(host(), prior())
    scorer.save(tmp_path)
    again = load_scorer(tmp_path)
    assert isinstance(again, WithPrior)
    assert np.array_equal(again.score(np.arange(4)), scorer.score(np.arange(4)))


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (sp.csr_array((3, 5), dtype=np.float32), "a prior for 3 users and 5 items"),
        (sp.csr_array(-prior()), "an entry of the prior is -2.0"),
        (prior() * np.float32(np.nan), "an entry of the prior is nan"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(matrix: sp.csr_array, said: str) -> None:
    with pytest.raises(InputError, match=said):
        WithPrior(host(), matrix)
