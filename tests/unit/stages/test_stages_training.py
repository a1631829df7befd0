"""A stopped training in a run's folder: it goes on, or begins again where settings are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtlns.data.dataset import Dataset
from dtlns.data.planted import plant
from dtlns.errors import CheckpointError
from dtlns.stages.training import write_model
from dtlns.training.checkpoint import CHECKPOINT
from dtlns.training.progress import Progress
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

SETTINGS = TrainConfig(
    model=ModelConfig(name="mf", dimensions=4),
    sampler=SamplerConfig(name="uniform"),
    epochs=6,
    validate_every=2,
)
OTHER = SETTINGS.model_copy(update={"learning_rate": 5e-3})


class StoppedError(Exception):
    """The run was stopped."""


def stop(progress: Progress) -> None:
    if progress.epoch == 4:
        raise StoppedError


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return plant(tmp_path / "data", users=60, branching=3, leaf_size=3, exposed=1.0, interactions=8)


@pytest.fixture
def stopped(tmp_path: Path, data: Dataset) -> Path:
    """A model's folder that is not there yet, with the checkpoint of a run beside it."""
    out = tmp_path / "model"
    with pytest.raises(StoppedError):
        write_model(out, data, SETTINGS, if_exists="reuse", resume=True, progress=stop)
    assert (tmp_path / "model.checkpoint" / CHECKPOINT).exists()
    return out


def epochs_seen(out: Path, data: Dataset, settings: TrainConfig) -> list[int]:
    seen: list[int] = []
    write_model(
        out, data, settings, if_exists="reuse", resume=True, progress=lambda now: seen.append(now.epoch)
    )
    return seen


def test_the_same_settings_go_on(stopped: Path, data: Dataset) -> None:
    assert epochs_seen(stopped, data, SETTINGS) == [5, 6]


def test_other_settings_begin_again(stopped: Path, data: Dataset, tmp_path: Path) -> None:
    assert epochs_seen(stopped, data, OTHER) == [1, 2, 3, 4, 5, 6]
    fresh = write_model(tmp_path / "fresh", data, OTHER)
    assert (stopped / "scorer.safetensors").read_bytes() == (fresh.path / "scorer.safetensors").read_bytes()
    assert not stopped.with_name("model.checkpoint").exists()


def test_a_damaged_checkpoint_begins_again(stopped: Path, data: Dataset) -> None:
    path = stopped.with_name("model.checkpoint") / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-10])
    assert epochs_seen(stopped, data, SETTINGS) == [1, 2, 3, 4, 5, 6]


def test_who_asks_to_resume_is_told(stopped: Path, data: Dataset) -> None:
    with pytest.raises(CheckpointError, match=r"settings\.learning_rate was 0\.001, is 0\.005"):
        write_model(stopped, data, OTHER, resume=True)
