"""Tuning of models without epochs: every point of a small grid is fitted, and validation chooses.

Settings of any training are searched by `dtlns.search`.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.models.registry import build_model
from dtlns.plugins import check_options, load_plugin
from dtlns.training.settings import ModelConfig

if TYPE_CHECKING:
    from dtlns.training.loop import SelectorLike

log = logging.getLogger(__name__)


class Trial(NamedTuple):
    """One point of the grid.

    Attributes:
        options: What the model was built with.
        value: The selector's number.
    """

    options: dict[str, Any]
    value: float


class Tuned(NamedTuple):
    """What tuning ends in.

    Attributes:
        scorer: The best one, fitted on the training interactions.
        options: What it was built with.
        value: The selector's number for it.
        trials: All trials, in the grid's order.
    """

    scorer: Scorer
    options: dict[str, Any]
    value: float
    trials: list[Trial]


def tune(config: ModelConfig, train: TrainView, selector: SelectorLike, *, seed: int = 0) -> Tuned:
    """Fit a model at every point of its search space, and keep the best by the selector's number.

    The grid is `search_space` of the model's class, a tuple of values for each option, in the order in which
    they are written down; of equal numbers the first wins. An option that `config` gives is not searched. An
    empty space is a grid of one point.

    Args:
        config: The model, and options that are fixed.
        train: The training interactions; all that a trial is fitted on.
        selector: Rates a scorer, by validation alone.
        seed: Of everything random in the model, the same for each trial.

    Raises:
        ConfigError: The model is trained in epochs, or has no search space.
        InputError: A fixed option is refused by the model.

    Example:
        >>> import numpy as np, scipy.sparse as sp
        >>> from dtlns.data.views import ValidView
        >>> from dtlns.evaluation.selector import Selector
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]))
        >>> valid = ValidView(np.array([0, 1, 1, 1]), np.array([1], np.uint32), 3)
        >>> tune(ModelConfig(name="ease"), train, Selector(train, valid)).options
        {'l2': 10.0}
    """
    points = grid(config)
    trials: list[Trial] = []
    best: Tuned | None = None
    for number, options in enumerate(points, start=1):
        model = build_model(config.model_copy(update={"options": options}), train, seed=seed)
        if isinstance(model, EmbeddingModel):
            raise _untunable(config)
        value = selector(model)
        trials.append(Trial(options, value))
        where = f"{config.name}: trial {number} of {len(points)}, {options_text(options)}"
        log.info("%s: %s %.4f", where, selector.name, value)
        if best is None or value > best.value:
            best = Tuned(model, options, value, trials)
        del model  # its memory is needed for the next
    assert best is not None  # a grid has at least one point
    return best


def grid(config: ModelConfig) -> list[dict[str, Any]]:
    """List the points that `tune` tries.

    Args:
        config: The model, and options that are fixed.

    Raises:
        ConfigError: The model has no search space.

    Example:
        >>> grid(ModelConfig(name="gfcf", options={"components": 64}))[:2]
        [{'components': 64, 'alpha': 0.1}, {'components': 64, 'alpha': 0.3}]
    """
    kind = load_plugin("dtlns.models", config.name)
    check_options("dtlns.models", config.name, kind, config.options)
    space = getattr(kind, "search_space", None)
    if space is None:
        raise _untunable(config)
    axes = [
        [(name, value) for value in values] for name, values in space.items() if name not in config.options
    ]
    return [{**config.options, **dict(point)} for point in itertools.product(*axes)]


def options_text(options: dict[str, Any]) -> str:
    """Return options for people to read, by name.

    Example:
        >>> options_text({"l2": 100.0})
        'l2 = 100.0'
    """
    return ", ".join(f"{name} = {value}" for name, value in sorted(options.items())) or "no options"


def _untunable(config: ModelConfig) -> ConfigError:
    return ConfigError(
        f"model {config.name!r} cannot be tuned",
        allowed="a model without epochs that declares a search_space, such as ease",
    )
