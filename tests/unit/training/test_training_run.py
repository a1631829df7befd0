"""A refresh of false negatives, mixed precision, processes' shares, memory, divergence, curves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError, InputError, TrainingError
from dtlns.false_negatives import FalseNegatives
from dtlns.models.base import Scorer
from dtlns.training.memory import memory_named
from dtlns.training.parallel import Processes
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.tensorboard import tensorboard_progress
from dtlns.training.trainer import train as fit


def world() -> TrainView:
    drawn = np.random.default_rng(0).random((40, 30))
    return TrainView.from_csr(sp.csr_array((drawn < 0.2).astype(np.float32)))


def settings(**changes: object) -> TrainConfig:
    base = TrainConfig(
        model=ModelConfig(name="mf", dimensions=4),
        sampler=SamplerConfig(name="mixgcf", candidates=3),
        epochs=6,
        batch_size=64,
        learning_rate=0.01,
        validate_every=2,
    )
    return TrainConfig.model_validate(base.model_dump() | changes)


def best_of(view: TrainView, seen: list[np.ndarray]) -> Callable[[Scorer], FalseNegatives]:
    """Find each user's best unobserved item, and remember what was asked."""
    observed = view.csr().toarray() > 0

    def refresh(scorer: Scorer) -> FalseNegatives:
        scores = scorer.score(np.arange(view.n_users))
        seen.append(scores)
        best = np.where(observed, -np.inf, scores).argmax(axis=1)
        return FalseNegatives.from_pairs(
            np.arange(view.n_users), best, n_users=view.n_users, n_items=view.n_items
        )

    return refresh


def judged(view: TrainView) -> FalseNegatives:
    return best_of(view, [])(fit(view, settings(model={"name": "popularity"})).scorer)


def test_false_negatives_are_found_anew_at_their_epochs() -> None:
    view, seen = world(), []
    told = settings(false_negatives="positive", refresh_every=2, epochs=5)
    model = fit(view, told, false_negatives=judged(view), refresh=best_of(view, seen), device="cpu")
    assert len(seen) == 2  # before epochs 3 and 5
    kept = fit(
        view, settings(false_negatives="positive", epochs=5), false_negatives=judged(view), device="cpu"
    )
    assert not np.array_equal(model.item_vectors, kept.item_vectors)
    two = fit(
        view, settings(false_negatives="positive", epochs=2), false_negatives=judged(view), device="cpu"
    )
    np.testing.assert_array_equal(seen[0], two.scorer.score(np.arange(40)))


def test_what_a_refresh_finds_is_unobserved() -> None:
    view = world()
    user, item = view.user_of_interaction[:1], view.indices[:1]
    found = FalseNegatives.from_pairs(user, item, n_users=view.n_users, n_items=view.n_items)
    told = settings(false_negatives="positive", refresh_every=1, epochs=2)
    with pytest.raises(InputError, match="are training interactions"):
        fit(view, told, false_negatives=judged(view), refresh=lambda _: found, device="cpu")


def test_a_refresh_may_keep_what_it_is_shown() -> None:
    view = world()
    kept: list[tuple[Scorer, np.ndarray]] = []

    def refresh(scorer: Scorer) -> FalseNegatives:
        kept.append((scorer, scorer.score(np.arange(view.n_users))))
        return judged(view)

    told = settings(false_negatives="positive", refresh_every=1, epochs=3)
    fit(view, told, false_negatives=judged(view), refresh=refresh, device="cpu")
    for scorer, then in kept:
        np.testing.assert_array_equal(scorer.score(np.arange(view.n_users)), then)


class StoppedError(Exception):
    """Stands for Ctrl-C."""


def test_a_refreshed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    view = world()
    told = settings(false_negatives="positive", refresh_every=3, epochs=8)

    def run(**more: object) -> TrainedModel:
        refresh = best_of(view, [])
        return fit(view, told, false_negatives=judged(view), refresh=refresh, device="cpu", **more)  # type: ignore[arg-type]

    def stop(state: Progress) -> None:
        if state.epoch == 5:  # the checkpoint is of epoch 4, after the first refresh and before the second
            raise StoppedError

    whole = run()
    with pytest.raises(StoppedError):
        run(checkpoint_dir=tmp_path, progress=stop)
    again = run(checkpoint_dir=tmp_path, resume=True)
    assert whole.item_vectors.tobytes() == again.item_vectors.tobytes()
    assert whole.history == again.history


def test_a_refresh_needs_to_know_how() -> None:
    told = settings(false_negatives="positive", refresh_every=2)
    with pytest.raises(ConfigError, match="found anew each 2 epochs, but not how"):
        fit(world(), told, false_negatives=judged(world()), device="cpu")


@pytest.mark.parametrize("model", ["mf", "lightgcn"])
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_bfloat16_follows_float32(model: str, loss: str) -> None:
    """Eight bits of mantissa: scores within 2^-8 of each other, and curves that stay together."""
    told = {
        "model": ModelConfig(name=model, dimensions=8, layers=2).model_dump(),
        "sampler": SamplerConfig(
            name="uniform", negatives=3
        ).model_dump(),  # one needs no product of matrices
        "loss": LossConfig(name=loss).model_dump(),
    }
    exact, mixed = (
        fit(world(), settings(precision=precision, **told), device="cpu")
        for precision in ("float32", "bfloat16")
    )
    for here, there in zip(exact.history, mixed.history, strict=True):
        assert there["loss"] == pytest.approx(here["loss"], rel=0.01)
    assert mixed.item_vectors.dtype == np.float32
    assert not np.array_equal(exact.item_vectors, mixed.item_vectors)


def test_shares_of_processes_make_up_the_whole() -> None:
    for size in (1, 2, 3, 7):
        for n in (0, 1, 5, 64):
            shares = [list(range(n))[Processes(rank, size).share(n)] for rank in range(size)]
            assert [number for share in shares for number in share] == list(range(n))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError("no room"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_out_of_memory_says_what_to_lower(error: Exception) -> None:
    message = r"batch_size = 64, dimensions = 4, candidates = 3.* hint: lower batch_size first"
    with pytest.raises(TrainingError, match=message), memory_named(settings()):
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"), memory_named(settings()):
        raise RuntimeError("something else")


def test_a_diverging_loss_is_named() -> None:
    message = r"the loss diverges: it is \S+ in epoch 1, batch 2 of 4, and was 0.7"
    with pytest.raises(TrainingError, match=message):
        fit(world(), settings(learning_rate=100.0), device="cpu")
    fit(world(), settings(learning_rate=1.0), device="cpu")  # bad, and no divergence


def test_curves_for_tensorboard(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = fit(world(), settings(), device="cpu", progress=tensorboard_progress(tmp_path))
    found = reader.EventAccumulator(str(tmp_path)).Reload()
    losses = found.Scalars("loss")
    assert [event.step for event in losses] == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in losses] == pytest.approx([r["loss"] for r in model.history], rel=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # the compiler looks into everything, deprecated attributes too
@pytest.mark.parametrize("name", ["mf", "lightgcn"])
def test_a_compiled_step_gives_the_same_numbers(name: str) -> None:
    model = ModelConfig(name=name, dimensions=4)
    plain, compiled = (
        fit(world(), settings(model=model, compile=flag, epochs=2), device="cpu") for flag in (False, True)
    )
    np.testing.assert_allclose(compiled.item_vectors, plain.item_vectors, rtol=1e-4, atol=1e-6)
