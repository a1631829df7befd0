"""Search spaces: what may be searched, with which values, and the points of a space."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from dtlns.config import SelectionConfig
from dtlns.errors import ConfigError
from dtlns.recipe import Recipe
from dtlns.search.parsing import parse_space
from dtlns.search.space import Choice, Range, at_point, corners, grid
from dtlns.training.settings import TrainConfig


def test_tables_and_dotted_keys_mean_the_same() -> None:
    lr, views = {"low": 1e-4, "high": 1e-1, "log": True}, [0.1, 1]
    nested = {"train": {"learning_rate": lr, "sampler": {"view_weights": {"structural": views}}}}
    flat = {"train.sampler.view_weights.structural": views, "train.learning_rate": lr}
    found = parse_space(nested)
    assert found == parse_space(flat) == parse_space(found)
    assert found == {
        "train.learning_rate": Range(1e-4, 1e-1, log=True),
        "train.sampler.view_weights.structural": Choice((0.1, 1.0)),
    }


def test_numbers_take_the_type_of_the_setting() -> None:
    found = parse_space(
        {
            "train": {
                "epochs": {"low": 10, "high": 30, "step": 10},
                "l2": {"low": 0, "high": 1},
                "model.options.anything": {"low": 1, "high": 2},
                "sampler.multi_view": [True, False],
                "model.name": ["mf", "lightgcn"],
            },
            "selection.scale": [1, 2.5],
        }
    )
    assert found["train.epochs"] == Range(10, 30, step=10)
    for place, kind in (("train.l2", float), ("train.model.options.anything", int)):
        axis = found[place]
        assert isinstance(axis, Range)
        assert (type(axis.low), type(axis.high)) == (kind, kind)
    assert str(found["selection.scale"]) == "Choice(values=(1.0, 2.5))"
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"train.lr": [1]}, r"s: train\.lr is not a setting · allowed: train\.model, .*train\.learning_rate"),
        ({"l2": [1]}, r"s: l2 is not a setting · allowed: train, selection$"),
        ({"train.l2.x": [1]}, r"s: train\.l2\.x is not a setting · allowed: train\.l2, which has no parts"),
        ({"train.model": ["mf"]}, r"train\.model is a table of settings · allowed: train\.model\.name, "),
        ({"train.model.options": [1]}, r"train\.model\.options is a table · allowed: .*options\.NAME"),
        ({"train.seed": [1, 2]}, r"train\.seed cannot be searched · hint: the best of several seeds is luck"),
        ({"metric": ["ndcg@5"]}, "metric cannot be searched"),
        ({"train.tune": [True]}, r"train\.tune cannot be searched"),
        ({"train.l2": 0.1}, r"train\.l2 = 0\.1 · allowed: a list of values, or a table"),
        ({"train.l2": []}, r"train\.l2 = \[\] · allowed: a list"),
        ({"train.l2": {"min": 0.1, "max": 1.0}}, r"train\.l2\.min is not a setting"),
        ({"train.l2": ["0.1"]}, r"train\.l2 has '0\.1' · allowed: numbers"),
        ({"train.l2": [math.nan]}, r"train\.l2 has nan · allowed: numbers"),
        ({"train.l2": [True]}, r"train\.l2 has True · allowed: numbers"),
        ({"train.epochs": [1.5]}, r"train\.epochs has 1\.5 · allowed: whole numbers"),
        ({"train.sampler.multi_view": [0]}, "multi_view has 0 · allowed: true or false"),
        ({"train.model.name": [["mf"]]}, r"name has \['mf'\] · allowed: numbers, text, true or false"),
        ({"train.l2": [0.1, 0.1]}, r"train\.l2 = \[0\.1, 0\.1\] · allowed: each value once"),
        ({"train.l2": {"low": 0.1}}, r"train\.l2: high is missing"),
        ({"train.l2": {"low": 0.1, "hgih": 1.0}}, r"train\.l2: unknown key 'hgih' · allowed: low, high"),
        ({"train.l2": {"low": 1.0, "high": 0.1}}, r"low = 1\.0 and high = 0\.1 · allowed: low below high"),
        ({"train.l2": {"low": "0", "high": 1.0}}, r"train\.l2: low = '0' · allowed: a number"),
        ({"train.l2": {"low": 0.0, "high": math.inf}}, r"train\.l2: high = inf · allowed: a number"),
        ({"train.l2": {"low": 0, "high": 1, "log": True}}, r"low = 0\.0 · allowed: a number above 0, where"),
        ({"train.l2": {"low": 0, "high": 1, "log": 1}}, "log = 1 · allowed: true or false"),
        ({"train.l2": {"low": 0, "high": 1, "step": 0.3}}, r"step = 0\.3 · allowed: steps that lead"),
        ({"train.l2": {"low": 0, "high": 1, "step": 0}}, r"step = 0\.0 · allowed: steps that lead"),
        ({"train.l2": {"low": 1, "high": 2, "step": 1, "log": True}}, "both log and step"),
        ({"train.epochs": {"low": 1, "high": 9.5}}, r"epochs: high = 9\.5 · allowed: a whole number"),
        ({"train.model.name": {"low": 1, "high": 9}}, "name is no number and has no range · allowed: a list"),
        ({"train": {"l2": [0.1]}, "train.l2": [0.2]}, r"train\.l2 is there twice"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_space(table, "s")


def test_a_point_changes_its_places_and_nothing_else() -> None:
    base = Recipe(train=TrainConfig(epochs=7), selection=SelectionConfig(top=3))
    point = {
        "train.model.dimensions": 9,
        "train.sampler.view_weights.structural": 0.7,
        "selection.scale": 2.0,
    }
    found = at_point(base, point)
    assert found.train.model.dimensions == 9
    assert found.train.sampler.view_weights == {"structural": 0.7, "semantic": 0.3}
    assert found.selection == SelectionConfig(top=3, scale=2.0)
    back = {
        "train.model.dimensions": 64,
        "train.sampler.view_weights.structural": 0.1,
        "selection.scale": 8.0,
    }
    assert at_point(found, back) == base
    with pytest.raises(ConfigError, match=r"s: train\.l2 = -1\.0 · allowed: greater than or equal to 0"):
        at_point(base, {"train.l2": -1.0}, "s")


def test_corners_are_all_combinations_of_choices_and_then_ends() -> None:
    space = {"a": Choice((1, 2)), "b": Range(0.0, 1.0), "c": Choice(("x", "y")), "d": Range(10, 40, step=10)}
    found = list(corners(space))
    choices = [{"a": a, "b": 0.5, "c": c, "d": 30} for a, c in itertools.product((1, 2), "xy")]
    first = choices[0]
    assert found == [*choices, first | {"b": 0.0}, first | {"b": 1.0}, first | {"d": 10}, first | {"d": 40}]
    assert list(corners({})) == [{}]
    (middle, *_) = corners({"e": Range(1, 10**12)})
    assert isinstance(middle["e"], int)


def test_corners_of_a_large_space_change_one_place_at_a_time() -> None:
    space = {f"p{at}": Choice((0, 1, 2, 3)) for at in range(10)}
    found = list(corners(space))
    assert len(found) == 1 + 10 * 3
    assert all(sum(value != 0 for value in point.values()) <= 1 for point in found)
    assert {(place, value) for point in found for place, value in point.items()} == {
        (place, value) for place in space for value in range(4)
    }


def test_sizes_and_grids() -> None:
    assert Range(0.0, 1.0).size == math.inf
    assert Range(1, 64, log=True).size == 64
    assert Range(0.1, 0.7, step=0.1).all() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    space = {"a": Choice(("x", "y")), "b": Range(5, 25, step=10), "c": Range(0.0, 0.5, step=0.25)}
    points = list(grid(space))
    assert len(points) == math.prod(axis.size for axis in space.values()) == 18
    assert points[0] == {"a": "x", "b": 5, "c": 0.0}
    assert points[-1] == {"a": "y", "b": 25, "c": 0.5}
    assert len({tuple(point.values()) for point in points}) == 18
