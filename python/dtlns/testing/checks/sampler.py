"""What every sampler must hold to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare

from dtlns.draws import draws_on
from dtlns.embeddings import Layers, gather_rows
from dtlns.models.mf import MF
from dtlns.samplers.base import EpochContext, Negatives, Sampler, SamplingContext
from dtlns.samplers.scored import ScoreBased
from dtlns.sampling import NegativePool
from dtlns.testing.checks.world import (
    CODES,
    DIMENSIONS,
    N_ITEMS,
    N_USERS,
    check_resume,
    expect,
    global_state_untouched,
    plugin,
    same,
    world,
)
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

DRAWS = 20_000
SMALLEST_P = 1e-6


def check_sampler(kind: str | type[Sampler], *, in_batch: bool = False, **config: Any) -> None:
    """Check a sampler: shapes, never a positive, determinism, log_q, state, gradient, resume.

    Score-based samplers are checked with multi-view terms too.

    Args:
        kind: Name of an entry point in `dtlns.samplers`, or the class.
        in_batch: The answer for a pair depends on the batch's other pairs by design, and on nothing else.
        **config: Fields of `SamplerConfig`, such as `candidates` or `options`.

    Raises:
        AssertionError: The sampler breaks a rule; the message says which.

    Example:
        >>> check_sampler("dns", candidates=3)
    """
    found = plugin("dtlns.samplers", kind, config.get("options", {}))
    _check(found, SamplerConfig(name="checked", **config), in_batch)
    if issubclass(found, ScoreBased):
        views = {"structural": 0.1, "semantic": 0.3}
        _check(found, SamplerConfig(name="checked", **config, multi_view=True, view_weights=views), in_batch)
        _check_views_matter(found, config)


def _check(found: type[Sampler], config: SamplerConfig, in_batch: bool) -> None:
    def build() -> Sampler:
        codes = CODES if config.multi_view or found.uses_codes else {}
        return found.build(config, world(), codes=codes, dimensions=DIMENSIONS, seed=0)

    expect(isinstance(build(), Sampler), "build must return a Sampler")
    rows = np.arange(world().n_interactions)
    with global_state_untouched():
        first = _sample(build(), _context(rows))
    _check_shapes(first, len(rows))
    _check_never_forbidden(build)
    again = _sample(build(), _context(rows))
    hint = "key what is drawn by context.seed, context.epoch and context.rows"
    expect(_same(first, again), f"the same context gives another answer; {hint}")
    if not in_batch:
        for name, epoch, seed in (("epoch", 2, 5), ("seed", 1, 6)):
            other = _sample(build(), _context(rows, epoch=epoch, seed=seed))
            expect(not _same(first, other), f"another {name} gives the same answer")
        for part in np.array_split(rows, 3):
            _check_part(first, _sample(build(), _context(part)), part)
        _check_log_q(build)
    _check_state(build, rows)
    _check_gradient(build, rows)
    model = ModelConfig(name="mf", dimensions=DIMENSIONS)
    settings = TrainConfig(
        model=model, sampler=config, epochs=5, batch_size=50, learning_rate=0.01, validate_every=2
    )
    check_resume(lambda: (MF(N_USERS, N_ITEMS, DIMENSIONS), build()), settings)


def _context(
    rows: NDArray[np.int64],
    *,
    epoch: int = 1,
    seed: int = 5,
    pool: NegativePool | None = None,
    user: int | None = None,
    number: int = 0,
) -> SamplingContext:
    """Rows of the world's interactions, or all of one user; two layers of random embeddings."""
    train = world()
    generator = torch.Generator().manual_seed(4)
    layers = Layers(
        *(torch.randn(n, 2, DIMENSIONS, generator=generator).requires_grad_() for n in (N_USERS, N_ITEMS))
    )
    pairs = rows % train.n_interactions if user is None else np.full(len(rows), train.indptr[user])
    users = torch.from_numpy(train.user_of_interaction[pairs].astype(np.int64))
    positives = torch.from_numpy(train.indices[pairs].astype(np.int64))
    return SamplingContext(
        users=users,
        positives=positives,
        rows=torch.from_numpy(rows),
        whole_users=users,
        whole_positives=positives,
        draws=draws_on(NegativePool(train) if pool is None else pool, "cpu"),
        seed=seed,
        epoch=epoch,
        epochs=10,
        number=number,
        layers=layers,
        user_layers=gather_rows(layers.users, users),
        positive_layers=gather_rows(layers.items, positives),
        pooling=lambda layered: layered.mean(dim=-2),
    )


def _begin(sampler: Sampler, context: SamplingContext) -> Sampler:
    """Begin the context's epoch."""
    sampler.begin_epoch(
        EpochContext(
            draws=context.draws,
            layers=Layers(*(layered.detach() for layered in context.layers)),
            pooling=context.pooling,
            similarity=context.similarity,
            seed=context.seed,
            epoch=context.epoch,
            epochs=context.epochs,
        )
    )
    return sampler


def _sample(sampler: Sampler, context: SamplingContext) -> Negatives:
    return _begin(sampler, context).sample(context)


def _same(a: Negatives, b: Negatives) -> bool:
    return all(same(getattr(a, name), getattr(b, name)) for name in ("ids", "layers", "log_q", "allowed"))


def _check_shapes(found: Negatives, batch: int) -> None:
    ids = found.ids
    good = ids.dtype == torch.int64 and ids.ndim == 2 and len(ids) in (1, batch) and ids.shape[1] >= 1
    expect(good, f"ids are {ids.dtype} {tuple(ids.shape)}, not int64 [{batch}, K], or [1, K] for shared ones")
    expect(not ids.is_floating_point() and 0 <= ids.min() <= ids.max() < N_ITEMS, "an id is out of range")
    for name, shape in (("layers", (*ids.shape, 2, DIMENSIONS)), ("log_q", tuple(ids.shape))):
        value = getattr(found, name)
        if value is not None:
            fits = value.dtype == torch.float32 and tuple(value.shape) == shape
            expect(fits, f"{name} is {value.dtype} {tuple(value.shape)}, not float32 {list(shape)}")
            expect(bool(torch.isfinite(value).all()), f"{name} holds a number that is not finite")
    if found.allowed is not None:
        fits = found.allowed.dtype == torch.bool and found.allowed.shape == (batch, ids.shape[1])
        expect(
            fits,
            f"allowed is {found.allowed.dtype} {tuple(found.allowed.shape)}, not bool "
            f"[{batch}, {ids.shape[1]}]",
        )
    if found.auxiliary_losses is not None:
        got = tuple(found.auxiliary_losses.shape)
        expect(got == (batch,), f"auxiliary_losses are {got}, not [{batch}], one for each pair")


def _check_never_forbidden(build: Callable[[], Sampler]) -> None:
    """Neither a training interaction nor an excluded item, for user 1 with one item left among them."""
    train = world()
    exclude = np.zeros((N_USERS, N_ITEMS))
    exclude[2:, [3, 8]] = 1
    pool = NegativePool(train, exclude=sp.csr_array(exclude))
    sampler = build()
    for epoch in range(1, 11):
        context = _context(np.arange(train.n_interactions), epoch=epoch, pool=pool)
        found = _sample(sampler, context)
        ids = found.ids.expand(len(context.users), -1)
        counts = torch.ones_like(ids, dtype=torch.bool) if found.allowed is None else found.allowed
        for user, drawn, kept in zip(context.users.tolist(), ids, counts, strict=True):
            bad = sorted(set(drawn[kept].tolist()) & set(pool.forbidden(user).tolist()))
            expect(not bad, f"item {bad[:1]} is drawn for user {user}, who has it or it is excluded")


def _check_part(whole: Negatives, part: Negatives, rows: NDArray[np.int64]) -> None:
    message = "a pair's answer depends on the rest of its batch"
    for name in ("ids", "layers", "log_q", "allowed"):
        ours, theirs = getattr(whole, name), getattr(part, name)
        if ours is not None:  # a product may be summed in another order in a batch of another size
            taken = ours if len(ours) == 1 else ours[rows]
            expect(torch.allclose(taken, theirs, rtol=1e-5, atol=1e-6), message)


def _check_log_q(build: Callable[[], Sampler]) -> None:
    """What is drawn for one pair again and again follows the probabilities that come with it."""
    found = _sample(build(), _context(np.arange(DRAWS), user=2))
    if found.log_q is None:
        return
    ids, log_q = found.ids, found.log_q
    if len(ids) == 1:  # shared: drawn once a batch
        many = [_sample(build(), _context(np.arange(2), user=2, number=n)) for n in range(DRAWS // 20)]
        ids, log_q = (torch.cat([getattr(one, name) for one in many]) for name in ("ids", "log_q"))
    _check_follows(ids.numpy(), np.exp(log_q.detach().numpy().astype(np.float64)))


def _check_follows(ids: NDArray[np.int64], claimed: NDArray[np.float64]) -> None:
    chance = np.zeros(N_ITEMS)
    np.maximum.at(chance, ids.ravel(), claimed.ravel())
    expect(np.allclose(chance[ids], claimed, rtol=1e-4), "log_q differs between draws of the same item")
    for slot in range(ids.shape[1]):
        counts = np.bincount(ids[:, slot], minlength=N_ITEMS)
        seen = chance > 0
        total = chance.sum()
        expect(abs(total - 1) < 0.01, f"exp(log_q) of the drawn items sums to {total:.4f}, not 1")
        p = chisquare(counts[seen], chance[seen] / total * counts.sum()).pvalue
        expect(p > SMALLEST_P, f"draws do not follow exp(log_q): χ² has p = {p:.1g}")


def _check_state(build: Callable[[], Sampler], rows: NDArray[np.int64]) -> None:
    first, second = build(), build()
    for epoch in (1, 2):
        _sample(first, _context(rows, epoch=epoch))
    second.load_state_dict(first.state_dict())
    later = [_sample(sampler, _context(rows, epoch=3)) for sampler in (first, second)]
    expect(_same(*later), "a sampler restored from its state_dict answers otherwise")


def _check_gradient(build: Callable[[], Sampler], rows: NDArray[np.int64]) -> None:
    sampler, context = build(), _context(rows)
    found = _sample(sampler, context)
    loss = found.embeddings(context.layers).square().sum()
    if found.auxiliary_losses is not None:
        loss = loss + found.auxiliary_losses.sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {"the items' layers": context.layers.items.grad}
    gradients |= {f"parameter {name}": value.grad for name, value in sampler.named_parameters()}
    for name, gradient in gradients.items():
        good = gradient is not None and bool(torch.isfinite(gradient).all() and gradient.any())
        expect(good, f"no finite gradient reaches {name}")


def _check_views_matter(found: type[ScoreBased], config: dict[str, Any]) -> None:
    """With an overwhelming weight, negatives are nearer to the positive than without."""
    train, nearness = world(), []
    context = _context(np.arange(train.n_interactions))
    for weight in (0.0, 1e6):
        views = {"structural": 1e-6, "semantic": weight}
        told = SamplerConfig(name="checked", **config, multi_view=True, view_weights=views)
        sampler = found.build(told, train, codes=CODES, dimensions=DIMENSIONS, seed=0)
        ids = _sample(sampler, context).ids[:, 0].numpy()
        nearness.append(float(CODES["semantic"].similarity(context.positives.numpy(), ids).mean()))
    expect(nearness[1] > nearness[0], "views do not change the choice: pass the scores through `choose`")
