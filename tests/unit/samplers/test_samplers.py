"""Each sampler's formula on cases worked out by hand, and its distribution on a small world."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.stats import chisquare

from dtlns.data.views import TrainView
from dtlns.draws import draws_on
from dtlns.embeddings import Layers, gather_rows
from dtlns.errors import ConfigError, InputError
from dtlns.samplers.base import SamplingContext
from dtlns.samplers.dns import DNS
from dtlns.samplers.mixgcf import MixGCF
from dtlns.samplers.multiview import MultiView
from dtlns.samplers.registry import build_sampler
from dtlns.samplers.scored import candidate_scores, min_max
from dtlns.samplers.uniform import Uniform
from dtlns.sampling import NegativePool
from dtlns.training.settings import SamplerConfig, TrainConfig
from dtlns.trees import PathCodes

N_ITEMS = 7


def world(
    layers: Layers, users: list[int], *, rows: list[int] | None = None, epoch: int = 1
) -> SamplingContext:
    """Every user has interacted with items 0 and 1; the positive is item 1."""
    n_users = len(layers.users)
    dense = np.zeros((n_users, N_ITEMS))
    dense[:, :2] = 1
    ids = torch.tensor(users)
    positives = torch.ones(len(users), dtype=torch.int64)
    return SamplingContext(
        users=ids,
        positives=positives,
        rows=torch.arange(len(users)) if rows is None else torch.tensor(rows),
        whole_users=ids,
        whole_positives=positives,
        draws=draws_on(NegativePool(TrainView.from_csr(sp.csr_array(dense))), "cpu"),
        seed=11,
        epoch=epoch,
        epochs=10,
        number=0,
        layers=layers,
        user_layers=gather_rows(layers.users, ids),
        positive_layers=gather_rows(layers.items, positives),
        pooling=lambda layered: layered.mean(dim=-2),
    )


def random_layers(n_layers: int, n_users: int = 5) -> Layers:
    generator = torch.Generator().manual_seed(4)
    tables = (torch.randn(n, n_layers, 3, generator=generator) for n in (n_users, N_ITEMS))
    return Layers(*(table.requires_grad_() for table in tables))


def test_uniform_is_uniform_over_the_unobserved() -> None:
    context = world(random_layers(1), [0, 1, 2, 3, 4] * 2000)
    negatives = Uniform().sample(context)
    assert negatives.ids.shape == (10_000, 1)
    counts = np.bincount(negatives.ids.flatten().numpy(), minlength=N_ITEMS)
    assert counts[:2].tolist() == [0, 0]
    assert chisquare(counts[2:]).pvalue > 1e-4
    assert negatives.log_q is not None
    torch.testing.assert_close(negatives.log_q, torch.full((10_000, 1), -math.log(5)))
    assert negatives.layers is None


def test_dns_takes_the_hardest_candidate() -> None:
    layers = random_layers(2)
    context = world(layers, [0, 3, 4, 2, 2])
    candidates = context.draw(4)
    chosen = DNS(4).sample(context).ids
    users, items = layers.users.mean(dim=1), layers.items.mean(dim=1)
    for row, user in enumerate([0, 3, 4, 2, 2]):
        scores = [float((users[user] @ items[n]).detach()) for n in candidates[row]]
        assert chosen[row, 0] == candidates[row, int(np.argmax(scores))]


def test_dns_distribution_is_that_of_the_maximum() -> None:
    # items 2..6 score 2..6: P(max of N = 3 draws from 5 is the k-th best from below) = (k³ - (k - 1)³) / 5³
    items = torch.arange(N_ITEMS, dtype=torch.float32).view(N_ITEMS, 1, 1)
    context = world(Layers(torch.ones(1, 1, 1), items), [0] * 20_000)
    counts = np.bincount(DNS(3).sample(context).ids.flatten().numpy(), minlength=N_ITEMS)[2:]
    expected = np.array([(k**3 - (k - 1) ** 3) / 125 for k in range(1, 6)]) * 20_000
    assert chisquare(counts, expected).pvalue > 1e-4


def test_draws_depend_on_row_and_epoch_not_on_the_batch() -> None:
    layers = random_layers(2)
    whole = MixGCF(4).sample(world(layers, [0, 1, 2, 3]))
    part = MixGCF(4).sample(world(layers, [2, 3], rows=[2, 3]))
    assert whole.layers is not None
    assert part.layers is not None
    torch.testing.assert_close(whole.ids[2:], part.ids, rtol=0, atol=0)
    torch.testing.assert_close(whole.layers[2:], part.layers)
    later = MixGCF(4).sample(world(layers, [0, 1, 2, 3], epoch=2))
    assert later.layers is not None
    assert not torch.allclose(whole.layers, later.layers)


def naive_mixgcf(context: SamplingContext, n: int, terms: list[tuple[PathCodes, float]]) -> torch.Tensor:
    """The published order of steps: mix all candidates, score, normalise, add the views, choose per layer."""
    candidates, mixing = context.draw(n), MixGCF(n).coefficients(context)
    users = context.user_layers.mean(dim=1)
    mixed_rows = []
    for b in range(len(context.users)):
        chosen = []
        for layer in range(context.layers.items.shape[1]):
            r = mixing[b, 0, layer, 0]
            positive = context.layers.items[1, layer]
            mixed = [r * positive + (1 - r) * context.layers.items[c, layer] for c in candidates[b]]
            scores = torch.stack([users[b] @ vector for vector in mixed])
            scores = (scores - scores.min()) / (scores.max() - scores.min())
            for codes, weight in terms:
                scores = scores + weight * torch.from_numpy(codes.similarity(1, candidates[b].numpy()))
            chosen.append(mixed[int(scores.argmax())])
        mixed_rows.append(torch.stack(chosen))
    return torch.stack(mixed_rows)


CODES = {
    "structural": PathCodes.from_paths([(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (0, 2), (3, 3)]),
    "semantic": PathCodes.from_paths([(2,), (2, 1), (1, 1), (2, 0), (2, 1), (3, 2), (0, 3)]),
}


@pytest.mark.parametrize("n_layers", [1, 4])
@pytest.mark.parametrize("weights", [{}, {"structural": 0.1, "semantic": 0.3}, {"semantic": 50.0}])
def test_mixgcf_equals_the_published_order_of_steps(n_layers: int, weights: dict[str, float]) -> None:
    context = world(random_layers(n_layers), [0, 1, 2, 3, 4] * 4)
    views = {name: (CODES[name], weight) for name, weight in weights.items()}
    sampler = MixGCF(5, (MultiView(views),) if views else ())
    negatives = sampler.sample(context)
    assert negatives.layers is not None
    torch.testing.assert_close(negatives.layers[:, 0], naive_mixgcf(context, 5, list(views.values())))


def test_mixgcf_gradient_reaches_positive_and_chosen_items() -> None:
    layers = random_layers(1)
    context = world(layers, [0])
    negatives = MixGCF(3).sample(context)
    assert negatives.layers is not None
    negatives.layers.sum().backward()
    r = float(MixGCF(3).coefficients(context)[0, 0, 0, 0])
    expected = torch.zeros(N_ITEMS, 1, 3)
    expected[1] += r
    expected[negatives.ids[0, 0]] += 1 - r
    torch.testing.assert_close(layers.items.grad, expected)


def test_mixing_coefficients_are_uniform_and_differ_by_layer() -> None:
    context = world(random_layers(3), [0] * 4000)
    r = MixGCF().coefficients(context)[:, 0, :, 0].numpy()
    assert r.shape == (4000, 3)
    assert r.min() >= 0
    assert r.max() < 1
    for layer in range(3):
        assert chisquare(np.histogram(r[:, layer], bins=10, range=(0, 1))[0]).pvalue > 1e-4
    assert abs(np.corrcoef(r.T)[0, 1]) < 0.06


def test_multi_view_adds_weighted_similarities() -> None:
    terms = MultiView({"structural": (CODES["structural"], 0.1), "semantic": (CODES["semantic"], 0.3)})
    found = terms(torch.tensor([1, 3]), torch.tensor([[2, 4], [4, 6]]))
    # structural: (0,1)~(0,1) = 1, (0,1)~(1,1) = 0; (1,0)~(1,1) = ½, (1,0)~(3,3) = 0
    # semantic: (2,1)~(1,1) = 0, (2,1)~(2,1) = 1; (2,0)~(2,1) = ½, (2,0)~(0,3) = 0
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.3], [0.05 + 0.15, 0.0]]))


def test_multi_view_twin_for_devices_agrees() -> None:
    rng = np.random.default_rng(1)
    positives = torch.from_numpy(rng.integers(0, N_ITEMS, 40))
    candidates = torch.from_numpy(rng.integers(0, N_ITEMS, (40, 6)))
    terms = MultiView({"semantic": (CODES["semantic"], 0.3)})
    there = 0.3 * terms._similarity_there("semantic", CODES["semantic"], positives, candidates)
    torch.testing.assert_close(terms(positives, candidates), there)


def test_multi_view_decides_between_equal_scores() -> None:
    equal = Layers(torch.ones(1, 1, 3), torch.ones(N_ITEMS, 1, 3))
    context = world(equal, [0] * 50)
    candidates = context.draw(2)
    plain, near = DNS(2), DNS(2, (MultiView({"structural": (CODES["structural"], 0.1)}),))
    assert plain.sample(context).ids[:, 0].tolist() == candidates[:, 0].tolist()  # ties to the first
    similarity = torch.from_numpy(CODES["structural"].similarity(1, candidates.numpy()))
    expected = candidates.gather(1, similarity.argmax(dim=1, keepdim=True))
    assert near.sample(context).ids.tolist() == expected.tolist()
    assert expected.tolist() != candidates[:, :1].tolist()


def test_several_negatives_have_candidates_of_their_own() -> None:
    layers = random_layers(2)
    context = world(layers, [0, 3, 4, 2, 2])
    chosen = DNS(4, negatives=3).sample(context).ids
    candidates = context.draw(12).view(5, 3, 4)
    users, items = layers.users.mean(dim=1).detach(), layers.items.mean(dim=1).detach()
    for row, user in enumerate([0, 3, 4, 2, 2]):
        for slot in range(3):
            scores = items[candidates[row, slot]] @ users[user]
            assert chosen[row, slot] == candidates[row, slot, scores.argmax()]
    mixed = MixGCF(4, negatives=3).sample(context)
    assert mixed.layers is not None
    assert mixed.layers.shape == (5, 3, 2, 3)


def test_min_max_scales_over_candidates() -> None:
    scores = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]]])
    assert min_max(scores).tolist() == [[[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]]


@pytest.mark.parametrize("n", [0, 1, 6, 7])  # more candidates than items are gathered
@pytest.mark.parametrize("layers", [1, 2])
def test_candidate_scores_are_inner_products(n: int, layers: int) -> None:
    generator = torch.Generator().manual_seed(0)
    users, own = torch.randn(9, 4, generator=generator), torch.randn(9, layers, 4, generator=generator)
    items = torch.randn(6, layers, 8, generator=generator)[:, :, ::2]  # not contiguous
    candidates = torch.randint(0, 6, (9, n), generator=generator)
    rows = items[candidates]
    torch.testing.assert_close(
        candidate_scores(users, items, candidates), torch.einsum("bd,bnld->bnl", users, rows)
    )
    torch.testing.assert_close(
        candidate_scores(own, items, candidates), torch.einsum("bld,bnld->bnl", own, rows)
    )


@pytest.mark.parametrize("wrong", [-1, 6])
def test_candidates_that_are_no_items_are_refused(wrong: int) -> None:
    with pytest.raises(InputError, match="candidates are from"):
        candidate_scores(torch.ones(1, 2), torch.ones(6, 1, 2), torch.tensor([[0, wrong]]))


def build(sampler: SamplerConfig, codes: dict[str, PathCodes]) -> object:
    train = TrainView.from_csr(sp.csr_array(np.eye(3, N_ITEMS)))
    return build_sampler(TrainConfig(sampler=sampler), train, codes)


def test_config_reaches_the_sampler() -> None:
    config = SamplerConfig(name="dns", candidates=4, multi_view=True, view_weights={"structural": 0.2})
    sampler = build(config, {"structural": CODES["structural"]})
    assert isinstance(sampler, DNS)
    assert sampler.candidates == 4
    assert [term.views["structural"][1] for term in sampler.terms if isinstance(term, MultiView)] == [0.2]


def test_views_and_weights_must_match() -> None:
    with pytest.raises(ConfigError, match="sampler 'mixgcf' needs path codes"):
        build(SamplerConfig(multi_view=True), {})
    with pytest.raises(ConfigError, match="no view is left"):
        build(
            SamplerConfig(multi_view=True, view_weights={"structural": 0.0}),
            {"structural": CODES["structural"]},
        )
    short = PathCodes.from_paths([(0,), (1,)])
    with pytest.raises(InputError, match="has 2 codes"):
        build(SamplerConfig(multi_view=True, view_weights={"structural": 0.1}), {"structural": short})
    with pytest.raises(ConfigError, match="no scores to which views could be added"):
        build(SamplerConfig(name="uniform", multi_view=True), CODES)
    with pytest.raises(ConfigError, match="unknown sampler 'hardest'"):
        build(SamplerConfig(name="hardest"), {})
