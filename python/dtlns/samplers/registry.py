"""Samplers by name."""

from __future__ import annotations

from collections.abc import Mapping

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.plugins import check_options, load_plugin
from dtlns.samplers.base import Sampler
from dtlns.samplers.scored import ScoreBased
from dtlns.training.settings import SamplerConfig, TrainConfig
from dtlns.trees import PathCodes


def build_sampler(settings: TrainConfig, train: TrainView, codes: Mapping[str, PathCodes]) -> Sampler:
    """Make the sampler that a configuration names.

    Args:
        settings: `sampler`, `model.dimensions` and `seed` are read.
        train: The training interactions.
        codes: Path codes by view name, empty where there are none.

    Raises:
        ConfigError: No such sampler, or its settings do not fit.
    """
    config = settings.sampler
    kind = sampler_class(config)
    if needs_codes(config) and not codes:
        raise ConfigError(
            f"sampler {config.name!r} needs path codes", hint="give --trees, made by `dtlns build-trees`"
        )
    return kind.build(config, train, codes=codes, dimensions=settings.model.dimensions, seed=settings.seed)


def sampler_class(config: SamplerConfig) -> type[Sampler]:
    """Return the class that a configuration names; what can be told without data is checked here.

    Args:
        config: The sampler's settings.

    Raises:
        ConfigError: No such sampler, it does not read an option, or it has no scores for the views.
    """
    kind = load_plugin("dtlns.samplers", config.name)
    if not (isinstance(kind, type) and issubclass(kind, Sampler)):
        raise ConfigError(
            f"sampler {config.name!r} is {kind!r}", allowed="a subclass of dtlns.samplers.base.Sampler"
        )
    check_options("dtlns.samplers", config.name, kind, config.options)
    if config.multi_view and not issubclass(kind, ScoreBased):
        raise ConfigError(
            f"sampler {config.name!r} has no scores to which views could be added",
            allowed="a score-based sampler with multi_view, such as dns or mixgcf",
            hint="set multi_view = false in the sampler's settings",
        )
    return kind


def needs_codes(config: SamplerConfig) -> bool:
    """Tell whether a sampler needs path codes: for multi-view terms, or always."""
    return config.multi_view or sampler_class(config).uses_codes
