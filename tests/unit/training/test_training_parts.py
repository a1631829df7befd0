"""Streams, settings, progress, devices, false negatives, plug-ins."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pydantic import ValidationError

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError, InputError
from dtlns.false_negatives import FalseNegatives
from dtlns.plugins import load_plugin, plugin_names
from dtlns.training.device import resolve_device
from dtlns.training.progress import Progress, stderr_progress
from dtlns.training.settings import TrainConfig
from dtlns.training.streams import derive, numpy_generator, torch_generator


def test_streams_are_told_apart_by_every_part_of_the_key() -> None:
    keys = {derive(seed, purpose, epoch) for seed in range(3) for purpose in ("a", "b") for epoch in range(3)}
    assert len(keys) == 18
    assert all(0 <= key < 2**64 for key in keys)
    assert derive(1, "a", 23) != derive(1, "a", 2, 3) != derive(12, "a", 3)


def test_streams_are_fixed() -> None:
    first, second = (numpy_generator(5, "order", 2).permutation(50) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    ours, again = (torch.rand(4, generator=torch_generator(5, "init")) for _ in range(2))
    assert torch.equal(ours, again)


def test_defaults_are_the_published_ones() -> None:
    told = TrainConfig()
    assert (told.model.name, told.model.dimensions, told.model.layers) == ("lightgcn", 64, 3)
    assert (told.sampler.name, told.sampler.candidates) == ("mixgcf", 10)
    assert told.sampler.view_weights == {"structural": 0.1, "semantic": 0.3}
    assert (told.learning_rate, told.l2, told.batch_size) == (1e-3, 1e-4, 2048)
    assert (told.validate_every, told.patience, told.false_negatives) == (5, 10, "ignore")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": 3},
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"l2": -1e-4},
        {"batch_size": 0},
        {"false_negatives": "delete"},
        {"seed": -1},
        {"model": {"dimensions": 0}},
        {"sampler": {"candidates": 0}},
        {"sampler": {"view_weights": {"structural": math.nan}}},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainConfig.model_validate(wrong)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        TrainConfig().seed = 3  # type: ignore[misc]


def state(epoch: int, value: float | None) -> Progress:
    return Progress(epoch, 12, 0.5, "recall@20", value, 0.2, 5, 123_456.0, 10.0 * (12 - epoch))


def test_progress_says_where_training_is() -> None:
    out = io.StringIO()
    show = stderr_progress(out, pause=0.0)
    for epoch in range(1, 13):
        show(state(epoch, 0.1 if epoch % 5 == 0 else None))
    lines = out.getvalue().splitlines()
    assert len(lines) == 12
    assert lines[0] == "epoch 1/12 · loss 0.5000 · 123k pairs/s · at most 2 min left"
    assert "recall@20 0.1000 (best 0.2000 at 5)" in lines[4]
    assert lines[11] == "epoch 12/12 · loss 0.5000 · 123k pairs/s"


def test_progress_in_a_file_is_short() -> None:
    out = io.StringIO()
    show = stderr_progress(out, pause=60.0)
    for epoch in range(1, 13):
        show(state(epoch, 0.1))
    assert [line.split(" · ")[0] for line in out.getvalue().splitlines()] == ["epoch 12/12"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_ends_its_line_when_training_stops_early() -> None:
    out = Terminal()
    show = stderr_progress(out)
    show(state(5, 0.1))
    assert not out.getvalue().endswith("\n")
    show(dataclasses.replace(state(10, 0.1), seconds_left=0.0))
    assert out.getvalue().endswith("\n")


def test_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="'meta' is not supported"):
        resolve_device("meta")
    with pytest.raises(ConfigError, match="'cuda:99' is not there"):
        resolve_device("cuda:99")


def pairs(users: list[int], items: list[int], weights: list[float] | None = None) -> FalseNegatives:
    given = None if weights is None else np.array(weights)
    return FalseNegatives.from_pairs(np.array(users), np.array(items), given, n_users=3, n_items=4)


def test_false_negatives_are_sorted_rows() -> None:
    found = pairs([2, 0, 2], [3, 1, 0], [0.1, 0.2, 0.3])
    assert found.csr().toarray().tolist() == [
        pytest.approx(row) for row in ([0, 0.2, 0, 0], [0, 0, 0, 0], [0.3, 0, 0, 0.1])
    ]
    assert found.indptr.tolist() == [0, 1, 1, 3]
    assert found.digest == pairs([0, 2, 2], [1, 0, 3], [0.2, 0.3, 0.1]).digest
    assert found.digest != pairs([0, 2, 2], [1, 0, 3], [0.2, 0.3, 0.2]).digest


@pytest.mark.parametrize(
    ("users", "items", "weights", "message"),
    [
        ([3], [0], None, "user 3 is out of range"),
        ([0], [-1], None, "item -1 is out of range"),
        ([1, 1], [2, 2], None, "user 1 has item 2 twice"),
        ([1], [2], [-0.5], "a weight is -0.5"),
        ([1], [2], [math.nan], "a weight is nan"),
        ([1, 2], [2], None, "differ in shape"),
    ],
)
def test_impossible_false_negatives(
    users: list[int], items: list[int], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pairs(users, items, weights)


def test_false_negatives_must_be_unobserved_pairs_of_this_split() -> None:
    train = TrainView.from_csr(sp.csr_array(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])))
    pairs([0, 1], [1, 1]).check(train)
    with pytest.raises(
        InputError, match=r"1 false negatives are training interactions, the first user 1, item 2"
    ):
        pairs([0, 1], [1, 2]).check(train)
    with pytest.raises(InputError, match="for 3 users and 4 items"):
        pairs([0], [1]).check(TrainView.from_csr(sp.csr_array(np.eye(3))))


def test_plugins_are_entry_points() -> None:
    assert {"mf", "lightgcn", "itemknn", "popularity"} <= set(plugin_names("dtlns.models"))
    assert {"uniform", "dns", "mixgcf"} <= set(plugin_names("dtlns.samplers"))
    assert load_plugin("dtlns.models", "mf").__name__ == "MF"
    with pytest.raises(ConfigError, match="unknown judge 'oracle'"):
        load_plugin("dtlns.judges", "oracle")
