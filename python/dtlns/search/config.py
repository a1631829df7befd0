"""What `dtlns tune` is told: the data, what all trials share, and what they differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from dtlns.config import SplitConfig, checked, overlay, read_toml
from dtlns.recipe import Recipe
from dtlns.search.parsing import parse_space


class TuneConfig(Recipe):
    """A search; `metric`, `[train]` and `[selection]` are those of a recipe, and shared by all trials.

    Attributes:
        data: A data set folder, or the name of a bundled one; relative to the TOML file.
        split: Used when the data set has no split yet.
        trees: A folder of `dtlns build-trees`, for samplers that need them; relative to the TOML file.
        judged: A folder of `dtlns judge`, for false negatives; relative to the TOML file.
        calibration: The folder of `dtlns calibrate` that it was judged with, where they are found anew; the
            same.
        trials: How many shall have ended.
        seed: Of the proposals; `train.seed` is that of every training.
        pruning: Stop trials that are worse than the median of the others.
        space: Values by dotted place; see `dtlns.search.parsing.parse_space`.
    """

    data: str
    split: SplitConfig = SplitConfig()
    trees: str | None = None
    judged: str | None = None
    calibration: str | None = None
    trials: int = Field(30, ge=1)
    seed: int = Field(0, ge=0)
    pruning: bool = True
    space: dict[str, Any] = Field(default_factory=dict)


def load_tune_config(file: Path) -> TuneConfig:
    """Read a search from TOML.

    Args:
        file: The TOML file.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is not allowed.
    """
    defaults = TuneConfig(data="-").model_dump()
    del defaults["data"]
    config = checked(TuneConfig, overlay(defaults, read_toml(file)), str(file))
    parse_space(config.space, f"{file}: [space]")
    return config
