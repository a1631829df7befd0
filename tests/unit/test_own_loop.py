"""Negatives for a loop that is not ours: the same as in ours, and what is refused."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.draws import draws_on
from dtlns.embeddings import Layers
from dtlns.errors import ArtifactError, ConfigError, InputError
from dtlns.own_loop import NegativeSampler, read_codes, read_false_negatives
from dtlns.samplers.base import SamplingContext
from dtlns.samplers.registry import build_sampler
from dtlns.sampling import NegativePool
from dtlns.training.settings import SamplerConfig, TrainConfig
from dtlns.trees import PathCodes, build_tree

USERS, ITEMS, SIZE = 12, 40, 5


@pytest.fixture
def train() -> TrainView:
    dense = np.random.default_rng(0).random((USERS, ITEMS)) < 0.2
    dense[:, 0] = True
    return TrainView.from_csr(sp.csr_array(dense.astype(np.float32)))


@pytest.fixture
def codes() -> PathCodes:
    return build_tree(np.random.default_rng(1).normal(size=(ITEMS, 4)), branching=2, max_leaf_size=3).codes


def tables(n_layers: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    middle = () if n_layers is None else (n_layers,)
    users, items = (torch.randn(n, *middle, SIZE, generator=generator) for n in (USERS, ITEMS))
    return users, items


def pairs(train: TrainView) -> dict[str, Any]:
    return {
        "users": train.user_of_interaction.astype(np.int64),
        "positives": train.indices.astype(np.int64),
        "rows": np.arange(train.n_interactions),
    }


@pytest.mark.parametrize("name", ["dns", "dns-mn", "mixgcf", "ahns"])
@pytest.mark.parametrize("n_layers", [None, 2])
@pytest.mark.parametrize("similarity", ["inner", "cosine"])
def test_it_draws_what_training_draws(
    train: TrainView, codes: PathCodes, name: str, n_layers: int | None, similarity: Any
) -> None:
    users, items = tables(n_layers)
    exclude = sp.csr_array(([1.0, 1.0], ([0, 3], [7, 9])), shape=(USERS, ITEMS))
    sampler = NegativeSampler(
        train,
        name,
        negatives=2,
        views={"mine": (codes, 0.4)},
        exclude=exclude,
        similarity=similarity,
        seed=3,
    )
    given = pairs(train)
    found = sampler.draw(**given, epoch=4, user_vectors=users[given["users"]], item_vectors=items)

    told = SamplerConfig(name=name, negatives=2, multi_view=True, view_weights={"mine": 0.4})
    ours = build_sampler(TrainConfig(sampler=told, seed=3), train, {"mine": codes})
    layers = Layers(*(table.view(len(table), -1, SIZE) for table in (users, items)))
    ids = {key: torch.from_numpy(value) for key, value in given.items()}
    expected = ours.sample(
        SamplingContext(
            **ids,
            whole_users=ids["users"],
            whole_positives=ids["positives"],
            draws=draws_on(NegativePool(train, exclude), "cpu"),
            seed=3,
            epoch=4,
            epochs=9,
            number=0,
            layers=layers,
            user_layers=layers.user_rows(ids["users"]),
            positive_layers=layers.item_rows(ids["positives"]),
            pooling=lambda layered: layered.mean(dim=-2),
            similarity=similarity,
        )
    )
    assert torch.equal(found.ids, expected.ids)
    assert (found.layers is None) == (expected.layers is None)
    if found.layers is not None and expected.layers is not None:
        assert torch.equal(found.layers, expected.layers)


def test_the_hardest_candidate_is_drawn_and_never_an_excluded_one(train: TrainView) -> None:
    users, items = torch.ones(USERS, 1), torch.arange(ITEMS, dtype=torch.float32).unsqueeze(1)
    observed = train.csr().toarray()
    free = [np.flatnonzero(row == 0).tolist() for row in observed]
    exclude = sp.lil_array((USERS, ITEMS))
    for user, left in enumerate(free):
        exclude[user, left[-1]] = 1
    # so many candidates that the best one is among them
    sampler = NegativeSampler(train, candidates=2000, exclude=exclude.tocsr())
    everyone = np.arange(USERS)
    found = sampler.draw(
        everyone, np.zeros(USERS, int), rows=everyone, epoch=1, user_vectors=users, item_vectors=items
    )
    assert found.ids[:, 0].tolist() == [left[-2] for left in free]


def test_a_pair_s_draw_depends_on_its_row_and_epoch_alone(train: TrainView) -> None:
    users, items = tables()
    given = pairs(train)
    sampler = NegativeSampler(train, "dns", negatives=3)

    def drawn(rows: Any, epoch: int = 1) -> torch.Tensor:
        batch = {key: torch.from_numpy(value[rows]) for key, value in given.items()}  # tensors, too
        return sampler.draw(**batch, epoch=epoch, user_vectors=users[batch["users"]], item_vectors=items).ids

    whole = drawn(given["rows"])
    some = np.array([5, 30, 2])
    assert torch.equal(drawn(some), whole[some])
    assert not torch.equal(drawn(given["rows"], epoch=2), whole)


def test_mixed_embeddings_carry_the_gradient(train: TrainView) -> None:
    users, items = tables()
    items.requires_grad_()
    given = pairs(train)
    found = NegativeSampler(train, "mixgcf").draw(
        **given, epoch=1, user_vectors=users[given["users"]], item_vectors=items
    )
    assert found.layers is not None
    assert found.layers.shape == (train.n_interactions, 1, 1, SIZE)
    found.layers.sum().backward()  # type: ignore[no-untyped-call]
    assert items.grad is not None
    # each mixed embedding is r of the positive's and 1 - r of the negative's
    assert torch.allclose(items.grad.sum(), torch.tensor(float(train.n_interactions * SIZE)))


def test_shared_negatives_are_other_ones_in_each_batch(train: TrainView) -> None:
    sampler = NegativeSampler(train, "shared-uniform", negatives=30)
    given = pairs(train)

    def shared(rows: Any) -> torch.Tensor:
        return sampler.draw(**{key: value[rows] for key, value in given.items()}, epoch=1).ids

    first, second = shared(np.arange(5)), shared(np.arange(5, 10))
    assert first.shape == (1, 30)
    assert not torch.equal(first, second)
    assert torch.equal(first, shared(np.arange(5)))


def test_in_batch_negatives_are_the_batch_s_positives(train: TrainView) -> None:
    given = pairs(train)
    found = NegativeSampler(train, "in-batch").draw(**given, epoch=1)
    assert found.ids[0].tolist() == given["positives"].tolist()
    assert found.allowed is not None
    assert not found.allowed.diagonal().any()


def test_tree_depth_draws_from_the_positive_s_leaf(train: TrainView, codes: PathCodes) -> None:
    own_leaf = {"view": "mine", "from": 0, "to": 0, "over": 1}
    sampler = NegativeSampler(
        train, "tree-depth", negatives=4, views={"mine": (codes, 1.0)}, options=own_leaf
    )
    given = pairs(train)
    ids = sampler.draw(**given, epoch=1).ids.numpy()
    near = codes.similarity(given["positives"][:, None], ids)
    anything = codes.similarity(given["positives"][:, None], np.arange(ITEMS))
    assert near.mean() > anything.mean() + 0.3


@pytest.mark.parametrize("name", ["dns", "mixgcf"])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floating_types_choose_as_float32_does(train: TrainView, name: str, kind: torch.dtype) -> None:
    users, items = (table.to(kind) for table in tables())
    given = pairs(train)
    sampler = NegativeSampler(train, name)
    found = sampler.draw(**given, epoch=1, user_vectors=users[given["users"]], item_vectors=items)
    same = sampler.draw(
        **given, epoch=1, user_vectors=users[given["users"]].float(), item_vectors=items.float()
    )
    assert torch.equal(found.ids, same.ids)
    assert found.layers is None or found.layers.dtype == torch.float32


@pytest.mark.parametrize("name", ["dns", "popularity", "shared-popularity"])
def test_a_sampler_that_was_copied_or_pickled_draws_the_same(
    train: TrainView, codes: PathCodes, name: str
) -> None:
    users, items = tables()
    given = pairs(train)
    views = {"mine": (codes, 0.4)} if name == "dns" else None
    exclude = sp.csr_array(([1.0, 1.0], ([0, 3], [7, 9])), shape=(USERS, ITEMS))
    sampler = NegativeSampler(train, name, negatives=3, views=views, exclude=exclude)

    def drawn(by: NegativeSampler) -> torch.Tensor:
        return by.draw(**given, epoch=1, user_vectors=users[given["users"]], item_vectors=items).ids

    expected = drawn(sampler)  # before the copies, so that what a draw keeps is copied too
    for other in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert torch.equal(drawn(other), expected)


def test_a_pool_goes_into_a_spawned_process(train: TrainView) -> None:
    exclude = sp.csr_array(([1.0], ([0], [7])), shape=(USERS, ITEMS))
    pool = NegativePool(train, exclude)
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        there = workers.map(pool.forbidden, range(USERS))
    assert all(np.array_equal(found, pool.forbidden(user)) for user, found in enumerate(there))
    assert 7 in there[0]


@pytest.mark.parametrize(
    ("name", "told", "message"),
    [
        ("srns", {}, "sampler 'srns' learns or has a memory"),
        ("dens", {}, "sampler 'dens' learns or has a memory"),
        ("tree-depth", {}, "sampler 'tree-depth' needs path codes"),
        ("tree-depth", {"views": "codes"}, "hint: give options={'over': ...}"),
        ("uniform", {"views": "codes"}, "sampler 'uniform' has no scores"),
        ("dns", {"options": {"top": 2}}, "sampler 'dns' has no option 'top'"),
        ("nothing", {}, "unknown sampler 'nothing'"),
        ("dns", {"similarity": "dot"}, "similarity is 'dot'"),
        ("dns", {"candidates": 0}, "candidates is 0"),
        ("dns", {"negatives": 1.5}, "negatives is 1.5"),
        (None, {}, "name = None"),
        ("dns", {"options": [1]}, "options = [1]"),
        ("dns", {"views": [1]}, "views are a list"),
        ("dns", {"views": {"mine": 1}}, "hint: views={'mine': (tree.codes, 0.3)}"),
        ("dns", {"train": sp.csr_array((USERS, ITEMS))}, "hint: dtlns.load_dataset(FOLDER).train, or"),
    ],
)
def test_what_does_not_fit_is_told_when_it_is_made(
    train: TrainView, codes: PathCodes, name: Any, told: dict[str, Any], message: str
) -> None:
    if told.get("views") == "codes":
        told = {"views": {"mine": (codes, 0.3)}}
    with pytest.raises((ConfigError, InputError)) as caught:
        NegativeSampler(**({"train": train, "name": name} | told))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_vectors": None}, "one of user_vectors and item_vectors is given"),
        ({"item_vectors": None, "user_vectors": None}, "sampler 'dns' needs vectors"),
        ({"item_vectors": torch.zeros(ITEMS - 1, SIZE)}, "item_vectors have 39 rows"),
        ({"user_vectors": torch.zeros(USERS, SIZE)}, "user_vectors have 12 rows · allowed: 2"),
        ({"user_vectors": torch.zeros(2, SIZE + 1)}, "user_vectors are (2, 6) on cpu"),
        ({"item_vectors": np.zeros((ITEMS, SIZE))}, "item_vectors are ndarray"),
        ({"item_vectors": torch.nn.Embedding(ITEMS, SIZE)}, "of an embedding module, give the weight"),
        ({"item_vectors": torch.zeros(ITEMS, SIZE).long()}, "item_vectors are torch.int64"),
        ({"user_vectors": torch.full((2, SIZE), torch.nan)}, "user 0 has a vector with a number that"),
        ({"user_vectors": torch.zeros(2, 0), "item_vectors": torch.zeros(ITEMS, 0)}, "are (2, 0)"),
        ({"rows": torch.zeros(2, dtype=torch.complex64)}, "rows are torch.complex64 (2,)"),
        ({"rows": [1]}, "have the shapes (2,), (2,), (1,)"),
        ({"users": [], "positives": [], "rows": []}, "one pair at least"),
        ({"positives": [0, ITEMS]}, "positives are from 0 to 40 · allowed: 0 to 39"),
        ({"users": [0, USERS]}, "12"),
        ({"users": torch.tensor([0.0, 1.0])}, "users are torch.float32 (2,)"),
        ({"epoch": -1}, "epoch is -1"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(
    train: TrainView, changes: dict[str, Any], message: str
) -> None:
    users, items = tables()
    given: dict[str, Any] = {"users": [0, 1], "positives": [0, 0], "rows": [0, 1], "epoch": 1}
    given |= {"user_vectors": users[:2], "item_vectors": items} | changes
    with pytest.raises(InputError) as caught:
        NegativeSampler(train, "dns").draw(**given)
    assert message in str(caught.value)


def test_what_is_no_artefact_is_refused(train: TrainView, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no manifest"):
        read_codes(tmp_path)
    with pytest.raises(ArtifactError, match="does not exist"):
        read_false_negatives(tmp_path / "found", train)
