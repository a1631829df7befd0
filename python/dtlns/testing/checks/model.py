"""What every model must hold to: one that is trained, and one that is ready when it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dtlns.embeddings import gather_rows
from dtlns.losses.base import Batch, Loss
from dtlns.losses.registry import build_loss
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.samplers.uniform import Uniform
from dtlns.testing.checks.world import (
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
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.streams import Step


def check_model(kind: str | type[Any], *, learning_rate: float = 0.01, **config: Any) -> None:
    """Check a model: shapes, determinism, loss and gradient, state, resume, and the way to disk and back.

    Args:
        kind: Name of an entry point in `dtlns.models`, or the class.
        learning_rate: With which the loss falls within 20 epochs on 200 pairs.
        **config: Fields of `ModelConfig`, such as `layers` or `options`.

    Raises:
        AssertionError: The model breaks a rule; the message says which.

    Example:
        >>> check_model("mf")
    """
    found = plugin("dtlns.models", kind, config.get("options", {}))
    told = ModelConfig.model_validate({"name": "checked", "dimensions": DIMENSIONS, **config})

    def build(seed: int = 0) -> Any:
        return found.build(told, world(), seed=seed)

    with global_state_untouched():
        model = build()
    expect(isinstance(model, EmbeddingModel | Scorer), "build must return an EmbeddingModel or a Scorer")
    sizes = getattr(model, "n_users", None), getattr(model, "n_items", None)
    expect(sizes == (N_USERS, N_ITEMS), f"n_users and n_items are {sizes}, not {(N_USERS, N_ITEMS)}")
    if not isinstance(model, EmbeddingModel):
        _check_scorer(model)
        everyone = np.arange(N_USERS)
        again = np.array_equal(build().score(everyone), model.score(everyone))
        expect(again, "the same seed gives other scores")
        unknown = set(getattr(found, "search_space", {})) - set(getattr(found, "option_names", ()))
        expect(not unknown, f"search_space has {sorted(unknown)}, which option_names does not list")
        return
    _check_layers(model)
    expect(_same_state(model, build()), "the same seed gives other parameters")
    expect(not _same_state(model, build(1)), "another seed gives the same parameters")
    other = build(1)
    other.load_state_dict(model.state_dict())
    expect(
        all(same(*pair) for pair in zip(model.layers(), other.layers(), strict=True)),
        "a model restored from its state_dict has other layers",
    )
    with global_state_untouched():
        _check_loss(build)
    settings = TrainConfig(
        model=told,
        sampler=SamplerConfig(name="uniform"),
        epochs=20,
        batch_size=50,
        learning_rate=learning_rate,
        validate_every=2,
    )
    trained = check_resume(lambda: (build(), Uniform()), settings)
    losses = [record["loss"] for record in trained.history]
    expect(np.mean(losses[-3:]) < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f}")
    _check_scorer(trained.scorer)


def _same_state(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(same(*pair) for pair in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def _check_layers(model: EmbeddingModel) -> None:
    users, items = model.layers()
    for name, table, rows in (("user", users, N_USERS), ("item", items, N_ITEMS)):
        good = table.dtype == torch.float32 and table.ndim == 3 and len(table) == rows
        expect(good, f"{name} layers are {table.dtype} {tuple(table.shape)}, not float32 [{rows}, L, D]")
        expect(bool(torch.isfinite(table).all()), f"{name} layers hold a number that is not finite")
        expect(table.requires_grad, f"{name} layers have no gradient")
    expect(users.shape[1:] == items.shape[1:], "users and items differ in L or D")
    expect(
        same(users, model.layers().users) and same(items, model.layers().items),
        "layers() twice gives two answers: what is random needs a step and is drawn from step.generator",
    )
    flat, nested = model.pool(items), model.pool(items.unsqueeze(0))
    expect(flat.ndim == 2 and len(flat) == N_ITEMS, f"pool gives {tuple(flat.shape)}, not [{N_ITEMS}, D]")
    expect(torch.allclose(flat, nested[0]), "pool must treat all leading dimensions alike")


def _batch(model: EmbeddingModel, step: Step) -> Batch:
    train = world()
    users = torch.from_numpy(train.user_of_interaction.astype(np.int64))
    positives = torch.from_numpy(train.indices.astype(np.int64))
    negatives = torch.stack([(positives + 1) % N_ITEMS, (positives + 7) % N_ITEMS], dim=1)
    layers = model.layers(step)
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
        step=step,
        pooling=model.pool,
        similarity="inner",
    )


def _check_loss(build: Callable[[], EmbeddingModel]) -> None:
    model = build()
    name = model.default_loss
    loss = None if name is None else build_loss(LossConfig(), name)
    step = Step(seed=0, epoch=1, number=0)
    batch = _batch(model, step)
    pairs, whole = _losses(model, loss, batch)
    expect(
        pairs.shape == batch.users.shape, f"pair_losses are {tuple(pairs.shape)}, not [B], one for each pair"
    )
    expect(bool(torch.isfinite(pairs).all()), "a pair's loss is not finite")
    expect(whole.ndim == 0 and bool(torch.isfinite(whole)), f"batch_loss is {whole}, not a finite scalar")
    again = _losses(model, loss, _batch(model, step))
    expect(same(pairs, again[0]) and same(whole, again[1]), "the same step twice gives two losses")
    half = torch.arange(len(pairs)) % 2 == 0
    own = ("users", "positives", "negatives", "user_layers", "positive_layers", "negative_layers")
    part = replace(batch, **{name: getattr(batch, name)[half] for name in own})
    ours, of_whole = _losses(model, loss, part)
    expect(
        torch.allclose(ours, pairs[half], rtol=1e-4, atol=1e-6),
        "a pair's loss depends on the batch's other pairs: such a term belongs into batch_loss",
    )
    expect(
        torch.allclose(of_whole, whole, rtol=1e-4, atol=1e-6),
        "batch_loss is another in a process that has a part of the batch: use whole_users, whole_positives",
    )
    (pairs.mean() + whole).backward()  # type: ignore[no-untyped-call]
    for name, value in model.named_parameters():
        good = value.grad is not None and bool(torch.isfinite(value.grad).all() and value.grad.any())
        expect(good, f"no finite gradient reaches parameter {name}")


def _losses(model: EmbeddingModel, loss: Loss | None, batch: Batch) -> tuple[Tensor, Tensor]:
    parts = [model.batch_loss(batch), None if loss is None else loss.batch_loss(batch)]
    whole = [part for part in parts if part is not None]
    return model.pair_losses(batch, loss), torch.stack(whole).sum() if whole else torch.zeros(())


def _check_scorer(scorer: Scorer) -> None:
    everyone = np.arange(N_USERS)
    scores = scorer.score(everyone)
    good = scores.dtype == np.float32 and scores.shape == (N_USERS, N_ITEMS)
    expect(good, f"scores are {scores.dtype} {scores.shape}, not float32 {(N_USERS, N_ITEMS)}")
    expect(not np.isnan(scores).any(), "a score is NaN")
    some = np.array([5, 0, 5])
    expect(
        np.allclose(scorer.score(some), scores[some], rtol=1e-5, atol=1e-6),
        "a user's scores depend on the batch",
    )
    with TemporaryDirectory() as folder:
        scorer.save(Path(folder))
        loaded = type(scorer).load(Path(folder))
    expect(np.array_equal(loaded.score(everyone), scores), "a scorer loaded from its folder scores otherwise")
