"""The settings of `dtlns run`, from a TOML file over the defaults of its recipe."""

from __future__ import annotations

from pathlib import Path

from dtlns.config import BestConfig, RunConfig, checked, overlay, read_toml
from dtlns.errors import ConfigError
from dtlns.idle import refuse_idle


def load_run_config(
    file: Path | None = None, data: str | None = None, recipe: str | None = None
) -> RunConfig | BestConfig:
    """Make the settings of a run: the defaults of its recipe, with what a TOML file says laid over them.

    Args:
        file: A TOML file, or None.
        data: The data set, when there is no file.
        recipe: `best` or `published`; None takes what the file says, else `published`.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is not allowed or would change nothing.
    """
    given = {"data": data} if file is None else read_toml(file)
    said = given.pop("recipe", None)
    if said not in (None, "best", "published") or (said and recipe and said != recipe):
        raise ConfigError(
            f"{file}: recipe = {said!r}" + (f", but --recipe {recipe} was asked for" if recipe else ""),
            allowed="'best' or 'published'",
        )
    best = "best" in (said, recipe)
    defaults = (BestConfig(data="-") if best else RunConfig(data="-")).model_dump()
    del defaults["data"]
    source = "defaults" if file is None else str(file)
    alien = [key for key in given if key in BestConfig.model_fields and key not in RunConfig.model_fields]
    if alien and not best:
        raise ConfigError(
            f"{source}: unknown key {alien[0]!r}", hint="it is one of the recipe best: recipe = 'best'"
        )
    values = overlay(defaults, given)
    config = checked(BestConfig, values, source) if best else checked(RunConfig, values, source)
    refuse_idle(config, source)
    return config
