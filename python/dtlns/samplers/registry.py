"""Samplers by name."""

from __future__ import annotations

from collections.abc import Mapping

from dtlns.data.views import TrainView
from dtlns.plugins import load_plugin
from dtlns.samplers.base import Sampler
from dtlns.training.settings import TrainConfig
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
    kind = load_plugin("dtlns.samplers", settings.sampler.name)
    sampler: Sampler = kind.build(
        settings.sampler, train, codes=codes, dimensions=settings.model.dimensions, seed=settings.seed
    )
    return sampler
