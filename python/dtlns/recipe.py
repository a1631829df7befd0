"""What a training run is told, as a TOML file: `dtlns train --config` reads it, `dtlns tune` writes it."""

from __future__ import annotations

from pathlib import Path

import tomli_w
from pydantic import field_validator

from dtlns.config import SelectionConfig, Settings, checked, overlay, read_toml
from dtlns.evaluation.selector import Selector
from dtlns.training.settings import TrainConfig


class Recipe(Settings):
    """Everything that decides a model but its data.

    Attributes:
        metric: What validation measures, to choose the epoch.
        train: Model, sampler and loop; the same table as `[train]` of `dtlns run`.
        selection: Which judged candidates count as false negatives, where they are used.
    """

    metric: str = "recall@20"
    train: TrainConfig = TrainConfig()
    selection: SelectionConfig = SelectionConfig()

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        Selector.parse(metric)
        return metric


def read_recipe(file: Path) -> Recipe:
    """Read a recipe; what the file does not say has the defaults of `dtlns train`.

    Args:
        file: A TOML file.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is not allowed.
    """
    return checked(Recipe, overlay(Recipe().model_dump(), read_toml(file)), str(file))


def recipe_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML that `read_recipe` reads back to the same settings.

    Args:
        recipe: The recipe; `[selection]` is left out where no false negatives are used.

    Example:
        >>> print(recipe_toml(Recipe(metric="ndcg@10")).splitlines()[0])
        metric = "ndcg@10"
    """
    values = recipe.model_dump(mode="json", exclude_none=True)
    if recipe.train.false_negatives == "ignore":
        del values["selection"]
    return tomli_w.dumps(values)
