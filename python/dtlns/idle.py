"""Settings that would change nothing: refused, since whoever wrote them believes that they do something.

A setting counts as written where it differs from the default, so that a run's own `config.toml`, which lists
all of them, can be run again.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from dtlns.config import BestConfig, RunConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.models.base import EmbeddingModel
from dtlns.plugins import load_plugin
from dtlns.samplers.registry import needs_codes
from dtlns.training.settings import WEIGHED, TrainConfig

Idle = Iterator[tuple[str, str]]  # a place, with all below it, and why it is not read


def refuse_idle(config: RunConfig | BestConfig, source: str) -> None:
    """Refuse settings of a run that would change nothing.

    Args:
        config: The run.
        source: Where its settings come from, for the message.

    Raises:
        ConfigError: A setting differs from the default and is not read; or a name is unknown.
    """
    written = _differing(config, type(config)(data=config.data))
    _refuse([*written], [*_of_pretraining(config.pretrain), *_of_run(config)], source)


def refuse_idle_pretraining(pretrain: TrainConfig, usual: TrainConfig, source: str) -> None:
    """Refuse settings of a pretraining alone, as `refuse_idle` does.

    Args:
        pretrain: The settings.
        usual: Their defaults.
        source: Where they come from, for the message.

    Raises:
        ConfigError: A setting differs from the default and is not read; or the model is unknown.
    """
    _refuse([*_differing(pretrain, usual, "pretrain.")], [*_of_pretraining(pretrain)], source)


def refuse_weights(train: TrainView, *settings: TrainConfig) -> None:
    """Refuse to weigh interactions that have no weights.

    Args:
        train: The training view.
        settings: Of what is trained on it.

    Raises:
        ConfigError: `interaction_weights` is set, and all weights are 1.
    """
    if train.weights is None and any(one.interaction_weights for one in settings):
        raise ConfigError(
            "interaction_weights = true would change nothing: the data set has no weights other than 1",
            hint="leave it out, or import the log with its weights: `dtlns data import --weight COLUMN`",
        )


def has_epochs(model: str) -> bool:
    """Tell whether a model is trained by epochs; others, such as EASE, are fitted from their options.

    Args:
        model: Its name.

    Raises:
        ConfigError: No such model.
    """
    kind = load_plugin("dtlns.models", model)
    return isinstance(kind, type) and issubclass(kind, EmbeddingModel)


def _refuse(written: list[str], idle: list[tuple[str, str]], source: str) -> None:
    for place in written:
        for part, why in idle:
            if f"{place}.".startswith(f"{part}."):
                raise ConfigError(f"{source}: {place} would change nothing", hint=why)


def _differing(settings: BaseModel, usual: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the places where settings are not as usual."""
    for name in type(settings).model_fields:
        mine, theirs = getattr(settings, name), getattr(usual, name)
        if isinstance(mine, BaseModel) and isinstance(theirs, BaseModel):
            yield from _differing(mine, theirs, f"{prefix}{name}.")
        elif mine != theirs:
            yield f"{prefix}{name}"


def _of_pretraining(pretrain: TrainConfig) -> Idle:
    model = pretrain.model.name
    if has_epochs(model):
        for name in ("validate_every", "patience"):
            yield f"pretrain.{name}", "pretraining sees no validation, and runs for exactly `epochs` epochs"
        return
    why = f"{model} is a model without epochs: what it reads is in pretrain.model.options"
    for name in TrainConfig.model_fields:
        if name not in ("model", "seed"):
            yield f"pretrain.{name}", why
    for name in ("dimensions", "layers"):
        yield f"pretrain.model.{name}", why


def _of_run(config: RunConfig | BestConfig) -> Idle:
    if "structural" not in config.trees.views:
        yield "trees.structural", "trees.views has no structural view"
    if not config.train.sampler.multi_view:
        yield "train.sampler.view_weights", "train.sampler.multi_view = false"
    yield from _of_best(config) if isinstance(config, BestConfig) else _of_published(config)


def _of_best(config: BestConfig) -> Idle:
    if not config.use_trees:
        yield "trees", "use_trees = false"
    if config.calibration.by == "latest":
        yield "hidings", "calibration.by = 'latest': the latest interactions are the same each time"


def _of_published(config: RunConfig) -> Idle:
    use = config.train.false_negatives
    if use == "ignore":
        for place in ("judge", "calibration", "candidates", "false_negatives", "train.refresh_every"):
            yield place, "train.false_negatives = 'ignore', so nothing is judged"
        if not needs_codes(config.train.sampler):
            for place in ("trees", "pretrain"):
                yield place, "no sampler reads trees, and nothing is judged"
    elif use not in WEIGHED:
        weighing = ", ".join(WEIGHED[:-1])
        yield "false_negatives.scales", f"only the uses {weighing} and {WEIGHED[-1]} weigh, not {use!r}"
