"""What every loss must hold to."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dtlns.embeddings import Layers, gather_rows
from dtlns.losses.base import Batch, Loss
from dtlns.testing.checks.world import (
    DIMENSIONS,
    N_ITEMS,
    N_USERS,
    expect,
    global_state_untouched,
    plugin,
    same,
)
from dtlns.training.settings import LossConfig
from dtlns.training.streams import Step

PAIRS, NEGATIVES = 12, 3
_OF_PAIRS = ("users", "positives", "negatives", "user_layers", "positive_layers", "negative_layers")


def check_loss(kind: str | type[Loss], **config: Any) -> None:
    """Check a loss: one number a pair, masks, shared negatives, log q, gradients, and which way it falls.

    Args:
        kind: Name of an entry point in `dtlns.losses`, or the class.
        **config: Fields of `LossConfig`, such as `similarity` or `options`.

    Raises:
        AssertionError: The loss breaks a rule; the message says which.

    Example:
        >>> check_loss("bpr")
    """
    found = plugin("dtlns.losses", kind, config.get("options", {}))
    told = LossConfig(name="checked", **config)
    loss = found.build(told.options)
    expect(isinstance(loss, Loss), "build must return a Loss")
    similarity = told.similarity or loss.similarity
    expect(similarity in ("inner", "cosine"), f"similarity is {similarity!r}, not inner or cosine")
    batch = _batch(similarity)
    with global_state_untouched():
        first = _rate(loss, batch)
    _check_form(first, batch)
    expect(all(map(same, first, _rate(loss, batch))), "the same batch twice gives two losses")
    _check_pairs_alone(loss, batch)
    _check_masks(loss, batch)
    _check_log_q(loss, batch)
    _check_shared(loss, batch)
    _check_direction(loss, batch)
    _check_gradient(loss, batch, "")
    for scale in (1e-3, 100.0):
        layers = Layers(*(scale * table for table in batch.layers))
        _check_gradient(loss, replace(batch, layers=layers), f" with embeddings {scale:g} times as long")


def _batch(similarity: Any) -> Batch:
    """Pairs of five users, two layers of random embeddings."""
    generator = torch.Generator().manual_seed(3)
    layers = Layers(*(torch.randn(n, 2, DIMENSIONS, generator=generator) for n in (N_USERS, N_ITEMS)))
    numbers = torch.arange(PAIRS)
    users, positives = numbers % 5, numbers % N_ITEMS
    negatives = torch.stack([(positives + 1 + 4 * n) % N_ITEMS for n in range(NEGATIVES)], dim=1)
    return Batch(
        users=users,
        positives=positives,
        negatives=negatives,
        whole_users=users,
        whole_positives=positives,
        layers=layers,
        user_layers=gather_rows(layers.users, users),
        positive_layers=gather_rows(layers.items, positives),
        negative_layers=gather_rows(layers.items, negatives),
        step=Step(seed=0, epoch=1, number=0),
        pooling=lambda layered: layered.mean(dim=-2),
        similarity=similarity,
    )


def _rate(loss: Loss, batch: Batch) -> tuple[Tensor, Tensor | None]:
    batch = replace(batch)  # nothing that it keeps is another batch's
    return loss.pair_losses(batch), loss.batch_loss(batch)


def _check_form(rated: tuple[Tensor, Tensor | None], batch: Batch) -> None:
    pairs, whole = rated
    good = pairs.dtype == torch.float32 and pairs.shape == batch.users.shape
    expect(
        good, f"pair_losses are {pairs.dtype} {tuple(pairs.shape)}, not float32 [{PAIRS}], one for each pair"
    )
    expect(bool(torch.isfinite(pairs).all()), "a pair's loss is not finite")
    fine = whole is None or (whole.ndim == 0 and bool(torch.isfinite(whole)))
    expect(fine, f"batch_loss is {whole}, not None or a finite scalar")


def _check_pairs_alone(loss: Loss, batch: Batch) -> None:
    """A process that has a part of the batch finds the same, and weights belong to the trainer."""
    pairs, whole = _rate(loss, batch)
    half = torch.arange(PAIRS) % 2 == 0
    rows: dict[str, Any] = {name: getattr(batch, name)[half] for name in _OF_PAIRS}
    of_half, of_whole = _rate(loss, replace(batch, **rows))
    expect(
        _close(of_half, pairs[half]),
        "a pair's loss depends on the batch's other pairs: such a term belongs into batch_loss",
    )
    expect(
        _close(of_whole, whole),
        "batch_loss is another in a process that has a part of the batch: use batch.whole_vectors()",
    )
    light = torch.linspace(0.1, 1.0, PAIRS)
    of_light, _ = _rate(loss, replace(batch, whole_weights=light))
    expect(
        _close(of_light, pairs), "pair_losses are weighted, which the trainer does: they would count twice"
    )


def _check_masks(loss: Loss, batch: Batch) -> None:
    """What does not count is as if it were not there."""
    message = "a negative that is not allowed has an influence: see batch.allowed"
    fewer = replace(batch, negatives=batch.negatives[:, :-1], negative_layers=batch.negative_layers[:, :-1])
    allowed = torch.ones(PAIRS, NEGATIVES, dtype=torch.bool)
    expect(
        _close(_rate(loss, replace(batch, allowed=allowed))[0], _rate(loss, batch)[0]),
        "with all negatives allowed, the loss is another than without a mask",
    )
    allowed[:, -1] = False
    masked = replace(batch, allowed=allowed)
    expect(_close(_rate(loss, masked)[0], _rate(loss, fewer)[0]), message)
    negative_layers = batch.negative_layers.clone().requires_grad_()
    pairs, _ = _rate(loss, replace(masked, negative_layers=negative_layers))
    if pairs.requires_grad:  # a loss without negatives has no gradient for them
        pairs.sum().backward()  # type: ignore[no-untyped-call]
        gradient = negative_layers.grad
        expect(gradient is None or not gradient[:, -1].any(), message)
    allowed = allowed.clone()
    allowed[0] = False
    _check_gradient(loss, replace(batch, allowed=allowed), " where a pair has no negatives")


def _check_shared(loss: Loss, batch: Batch) -> None:
    """Negatives [1, K] are the same K for every pair."""
    ids = batch.negatives[:1]
    log_q = torch.tensor([[-1.0, -2.0, -3.0]])
    allowed = (torch.arange(PAIRS).unsqueeze(1) + torch.arange(NEGATIVES)) % 4 > 0
    rows = gather_rows(batch.layers.items, ids)
    once = replace(batch, negatives=ids, negative_layers=rows, log_q=log_q, allowed=allowed)
    each = replace(
        batch,
        negatives=ids.expand(PAIRS, -1),
        negative_layers=rows.expand(PAIRS, -1, -1, -1),
        log_q=log_q.expand(PAIRS, -1),
        allowed=allowed,
    )
    (pairs, whole), (of_each, of_all) = _rate(loss, once), _rate(loss, each)
    good = pairs.shape == (PAIRS,) and _close(pairs, of_each) and _close(whole, of_all)
    expect(good, "shared negatives [1, K] give another loss than the same K for every pair")


def _check_direction(loss: Loss, batch: Batch) -> None:
    """The loss falls when positives rise, and does not when negatives rise."""
    before, _ = _rate(loss, batch)
    nearer = batch.positive_layers + 0.5 * batch.user_layers
    after, _ = _rate(loss, replace(batch, positive_layers=nearer))
    good = bool((after <= before + 1e-6).all() and (after < before).any())
    expect(good, "a pair's loss does not fall when its positive rises")
    nearer = batch.negative_layers + 0.5 * batch.user_layers.unsqueeze(1)
    after, _ = _rate(loss, replace(batch, negative_layers=nearer))
    expect((after >= before - 1e-6).all(), "a pair's loss falls when its negatives rise")


def _check_log_q(loss: Loss, batch: Batch) -> None:
    log_q = torch.full((PAIRS, NEGATIVES), -math.log(N_ITEMS))
    log_q[:, 0] += 1.0
    pairs, _ = _rate(loss, replace(batch, log_q=log_q))
    good = pairs.shape == (PAIRS,) and bool(torch.isfinite(pairs).all())
    expect(good, "with log_q, a pair's loss is not finite")


def _check_gradient(loss: Loss, batch: Batch, when: str) -> None:
    layers = Layers(*(table.detach().clone().requires_grad_() for table in batch.layers))
    rows: dict[str, Any] = {
        "user_layers": gather_rows(layers.users, batch.users),
        "positive_layers": gather_rows(layers.items, batch.positives),
        "negative_layers": gather_rows(layers.items, batch.negatives),
    }
    pairs, whole = _rate(loss, replace(batch, layers=layers, **rows))
    expect(bool(torch.isfinite(pairs).all()), f"a pair's loss is not finite{when}")
    total = pairs.mean() if whole is None else pairs.mean() + whole
    total.backward()  # type: ignore[no-untyped-call]
    for name, table in (("users", layers.users), ("items", layers.items)):
        good = table.grad is not None and bool(torch.isfinite(table.grad).all() and table.grad.any())
        expect(good, f"no finite gradient reaches the {name}{when}")


def _close(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(torch.allclose(a, b, rtol=1e-4, atol=1e-5))
