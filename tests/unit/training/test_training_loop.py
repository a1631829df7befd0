"""The loop: selection, stopping, false negatives, errors, and going on to the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.errors import ArtifactError, ConfigError, InputError, TrainingError
from dtlns.false_negatives import FalseNegatives
from dtlns.models.base import Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.samplers.base import Negatives, Sampler, SamplingContext
from dtlns.training import trainer
from dtlns.training.batches import Batches
from dtlns.training.checkpoint import CHECKPOINT, METRICS
from dtlns.training.pairs import Pairs
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.trainer import train as fit
from dtlns.trees import PathCodes


def small_world(seed: int = 0) -> TrainView:
    rng = np.random.default_rng(seed)
    return TrainView.from_csr(sp.csr_array((rng.random((40, 30)) < 0.2).astype(np.float32)))


def settings(**changes: object) -> TrainConfig:
    base = TrainConfig(
        model=ModelConfig(name="mf", dimensions=4, layers=2),
        sampler=SamplerConfig(name="mixgcf", candidates=3),
        epochs=6,
        batch_size=64,
        learning_rate=0.01,
        validate_every=2,
    )
    return TrainConfig.model_validate(base.model_dump() | changes)


class Scripted:
    """A selector that answers from a list."""

    name = "recall@20"
    digest = "scripted"

    def __init__(self, *values: float) -> None:
        self.values = list(values)
        self.seen: list[np.ndarray] = []

    def __call__(self, scorer: Scorer) -> float:
        self.seen.append(scorer.score(np.arange(40)))
        return self.values[len(self.seen) - 1]


class StoppedError(Exception):
    """Stands for Ctrl-C."""


def stop_after(epoch: int) -> object:
    def progress(state: Progress) -> None:
        if state.epoch == epoch:
            raise StoppedError

    return progress


def same_bits(a: TrainedModel, b: TrainedModel) -> bool:
    return (
        a.user_vectors.tobytes() == b.user_vectors.tobytes()
        and a.item_vectors.tobytes() == b.item_vectors.tobytes()
        and a.history == b.history
        and (a.best_epoch, a.best_value, a.epochs_run) == (b.best_epoch, b.best_value, b.epochs_run)
    )


CODES: Mapping[str, PathCodes] = {
    "structural": PathCodes.from_paths([(i % 4, i % 3) for i in range(30)]),
    "semantic": PathCodes.from_paths([(i % 3, i % 4) for i in range(30)]),
}


@pytest.mark.parametrize(
    ("model", "sampler"),
    [
        ("mf", SamplerConfig(name="mixgcf", candidates=3)),
        ("mf", SamplerConfig(name="dns", candidates=3, multi_view=True)),
        ("lightgcn", SamplerConfig(name="mixgcf", candidates=3, multi_view=True)),
        ("lightgcn", SamplerConfig(name="uniform")),
    ],
)
@pytest.mark.parametrize("stopped_at", [1, 3, 4, 5])
def test_resume_continues_to_the_same_bits(
    model: str, sampler: SamplerConfig, stopped_at: int, tmp_path: Path
) -> None:
    view = small_world()
    told = settings(model={"name": model, "dimensions": 4, "layers": 2}, sampler=sampler.model_dump())
    codes = CODES if sampler.multi_view else None
    script = (0.3, 0.5, 0.4)
    whole = fit(view, told, selector=Scripted(*script), codes=codes, device="cpu")
    with pytest.raises(StoppedError):
        fit(
            view,
            told,
            selector=Scripted(*script),
            codes=codes,
            device="cpu",
            checkpoint_dir=tmp_path,
            progress=stop_after(stopped_at),
        )
    left = script[stopped_at // 2 :]
    again = fit(
        view, told, selector=Scripted(*left), codes=codes, device="cpu", checkpoint_dir=tmp_path, resume=True
    )
    assert same_bits(whole, again)
    lines = (tmp_path / METRICS).read_text().splitlines()
    assert len(lines) == 6
    # a finished run has nothing left to do
    assert same_bits(
        whole,
        fit(view, told, selector=Scripted(), codes=codes, device="cpu", checkpoint_dir=tmp_path, resume=True),
    )


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    view = small_world()
    first, second = (fit(view, settings(seed=3), device="cpu") for _ in range(2))
    assert same_bits(first, second)
    assert not same_bits(first, fit(view, settings(seed=4), device="cpu"))


def test_best_epoch_is_restored() -> None:
    selector = Scripted(0.1, 0.9, 0.2)
    model = fit(small_world(), settings(), selector=selector, device="cpu")
    assert (model.best_epoch, model.best_value, model.epochs_run) == (4, 0.9, 6)
    np.testing.assert_array_equal(model.scorer.score(np.arange(40)), selector.seen[1])
    assert [record.get("recall@20") for record in model.history] == [None, 0.1, None, 0.9, None, 0.2]


def test_stops_after_validations_without_a_better_value() -> None:
    # an equal value is not a better one
    selector = Scripted(0.5, 0.6, 0.6, 0.4, 0.9)
    model = fit(small_world(), settings(epochs=50, patience=2), selector=selector, device="cpu")
    assert (model.best_epoch, model.epochs_run) == (4, 8)


def test_without_a_selector_exactly_the_epochs_are_run() -> None:
    model = fit(small_world(), settings(epochs=5, patience=1), device="cpu")
    assert (model.best_epoch, model.epochs_run, model.metric, model.best_value) == (5, 5, None, None)
    assert [sorted(record) for record in model.history] == [["epoch", "loss"]] * 5


def test_loss_falls() -> None:
    model = fit(small_world(), settings(epochs=30, learning_rate=0.05), device="cpu")
    losses = [record["loss"] for record in model.history]
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert losses[-1] < 0.8 * losses[0]


def test_divergence_names_epoch_and_batch() -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch \d+, batch \d+ of 4"):
        fit(small_world(), settings(learning_rate=1e30, epochs=30), device="cpu")


def test_a_trained_model_comes_back(tmp_path: Path) -> None:
    model = fit(small_world(), settings(), selector=Scripted(0.1, 0.9, 0.2), device="cpu")
    model.save(tmp_path)
    assert same_bits(model, TrainedModel.load(tmp_path))
    with pytest.raises(ArtifactError, match="holds no trained model"):
        TrainedModel.load(tmp_path / "elsewhere")


def test_baselines_need_no_epochs() -> None:
    selector = Scripted(0.25)
    model = fit(small_world(), settings(model={"name": "itemknn"}), selector=selector, device="cpu")
    assert (model.best_value, model.epochs_run, model.history) == (0.25, 0, [])
    with pytest.raises(InputError, match="ItemKNN has no embeddings"):
        _ = model.item_vectors


def unobserved(view: TrainView, per_user: int) -> FalseNegatives:
    dense = view.csr().toarray()
    pairs = [(u, i) for u in range(view.n_users) for i in np.flatnonzero(dense[u] == 0)[:per_user]]
    users, items = np.array(pairs).T
    weights = np.where(items % 2 == 0, 0.5, 0.0).astype(np.float32)
    return FalseNegatives.from_pairs(users, items, weights, n_users=view.n_users, n_items=view.n_items)


def drawn(pairs: Pairs, users: np.ndarray) -> set[tuple[int, int]]:
    ids = pairs.pool.sample(users, 400, rows=np.arange(len(users)), seed=0, epoch=1)
    return {(int(u), int(i)) for u, row in zip(users, ids, strict=True) for i in row}


def test_uses_of_false_negatives() -> None:
    view = small_world()
    judged = unobserved(view, 4)
    pairs = set(zip(judged.users.tolist(), judged.indices.tolist(), strict=True))
    users = np.arange(view.n_users)

    ignored = Pairs.build(view, settings(), judged)
    assert len(ignored) == view.n_interactions
    assert drawn(ignored, users) >= pairs

    excluded = Pairs.build(view, settings(false_negatives="exclude"), judged)
    assert len(excluded) == view.n_interactions
    assert not drawn(excluded, users) & pairs

    positive = Pairs.build(view, settings(false_negatives="positive"), judged)
    assert len(positive) == view.n_interactions + judged.n_pairs
    assert positive.weights is None
    assert set(zip(positive.users.tolist(), positive.items.tolist(), strict=True)) >= pairs
    assert not drawn(positive, users) & pairs

    weighted = Pairs.build(view, settings(false_negatives="weighted"), judged)
    assert weighted.weights is not None
    added = weighted.weights[view.n_interactions :]
    assert added.tolist() == [0.5] * int((judged.weights > 0).sum())  # a weight of 0 adds no pair
    assert weighted.weights[: view.n_interactions].tolist() == [1.0] * view.n_interactions
    assert not drawn(weighted, users) & pairs


def test_interaction_weights_are_used_when_asked() -> None:
    view = dataclasses.replace(small_world())
    weights = np.linspace(0.5, 2, view.n_interactions, dtype=np.float32)
    view = dataclasses.replace(view, weights=weights)
    assert Pairs.build(view, settings(), None).weights is None
    found = Pairs.build(view, settings(interaction_weights=True), None).weights
    np.testing.assert_array_equal(found, weights)


def test_interaction_weights_may_be_read_only() -> None:
    view = small_world()
    weights = np.ones(view.n_interactions, dtype=np.float32)
    weights.setflags(write=False)  # as they come from a file
    weighted = settings(interaction_weights=True)
    pairs = Pairs.build(dataclasses.replace(view, weights=weights), weighted, None)
    found = Batches(pairs, weighted, torch.device("cpu")).weights  # a warning would be an error
    assert found is not None
    assert found.tolist() == weights.tolist()


def test_false_negatives_change_the_result_only_when_used() -> None:
    view = small_world()
    judged = unobserved(view, 3)
    plain = fit(view, settings(), device="cpu")
    assert same_bits(plain, fit(view, settings(), false_negatives=judged, device="cpu"))
    for use in ("exclude", "positive", "weighted"):
        other = fit(view, settings(false_negatives=use), false_negatives=judged, device="cpu")
        assert not same_bits(plain, other)


def test_what_does_not_fit_is_refused() -> None:
    view = small_world()
    with pytest.raises(ConfigError, match="shall be used as 'exclude', but there are none"):
        fit(view, settings(false_negatives="exclude"), device="cpu")
    told = settings(false_negatives="positive", model={"name": "popularity"})
    with pytest.raises(ConfigError, match="'popularity' cannot use false negatives"):
        fit(view, told, false_negatives=unobserved(view, 1), device="cpu")
    with pytest.raises(ConfigError, match="no training interactions"):
        fit(TrainView.from_csr(sp.csr_array((3, 4))), settings(), device="cpu")
    with pytest.raises(ConfigError, match="unknown device 'tpu9'"):
        fit(view, settings(), device="tpu9")


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    view = small_world()
    fit(view, settings(), device="cpu", checkpoint_dir=tmp_path)
    with pytest.raises(ArtifactError, match=r"belongs to another run: settings\.seed was 0, is 1 · hint"):
        fit(view, settings(seed=1), device="cpu", checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(ArtifactError, match="belongs to another run: train_view was"):
        fit(small_world(1), settings(), device="cpu", checkpoint_dir=tmp_path, resume=True)


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    view = small_world()
    fit(view, settings(), device="cpu", checkpoint_dir=tmp_path)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(ArtifactError, match="cannot be read"):
        fit(view, settings(), device="cpu", checkpoint_dir=tmp_path, resume=True)
    path.write_bytes(whole[:-10] + bytes(10))
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        fit(view, settings(), device="cpu", checkpoint_dir=tmp_path, resume=True)
    fit(view, settings(), device="cpu", checkpoint_dir=tmp_path)  # without resume, it starts again
    assert path.read_bytes() == whole


def test_other_thread_count_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = small_world()
    with pytest.raises(StoppedError):
        fit(view, settings(), device="cpu", checkpoint_dir=tmp_path, progress=stop_after(3))
    now = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: now + 1)
    with pytest.warns(RuntimeWarning, match=f"made with {now} threads, this is {now + 1}"):
        fit(view, settings(), device="cpu", checkpoint_dir=tmp_path, resume=True)


class Learned(Sampler):
    """A sampler with a parameter, state and a loss of its own, as a third party may bring."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    @classmethod
    def build(cls, *_: object, **__: object) -> Self:
        return cls()

    def sample(self, context: SamplingContext) -> Negatives:
        self.batches += 1
        return Negatives(
            context.draw(2), auxiliary_losses=(self.shift - 1).square().expand(len(context.users))
        )


def test_a_sampler_may_learn_and_keep_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Learned] = []

    def build(*_: object) -> Sampler:
        made.append(Learned())
        return made[-1]

    monkeypatch.setattr(trainer, "build_sampler", build)
    view, told = small_world(), settings(epochs=4)
    whole = fit(view, told, device="cpu")
    with pytest.raises(StoppedError):
        fit(view, told, device="cpu", checkpoint_dir=tmp_path, progress=stop_after(3))
    again = fit(view, told, device="cpu", checkpoint_dir=tmp_path, resume=True)
    assert same_bits(whole, again)
    assert made[0].batches == made[2].batches == 4 * 4
    assert float(made[0].shift.detach()) == float(made[2].shift.detach()) > 0.1


def test_selector_sees_the_scorer_of_each_validation() -> None:
    selector = Scripted(0.1, 0.2, 0.3)
    model = fit(small_world(), settings(), selector=selector, device="cpu")
    assert isinstance(model.scorer, EmbeddingScorer)
    assert len(selector.seen) == 3
    assert not np.array_equal(selector.seen[0], selector.seen[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("model", ["mf", "lightgcn"])
def test_cuda_trains_to_about_the_same(model: str) -> None:
    told = settings(model={"name": model, "dimensions": 4, "layers": 2}, sampler={"multi_view": True})
    here = fit(small_world(), told, codes=CODES, device="cpu")
    there = fit(small_world(), told, codes=CODES, device="cuda")
    np.testing.assert_allclose(here.user_vectors, there.user_vectors, rtol=1e-2, atol=1e-3)
