"""Training by one call: checks that everything fits, then fits a baseline or runs the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.false_negatives import FalseNegatives
from dtlns.losses.base import Loss
from dtlns.losses.registry import build_loss
from dtlns.models.base import EmbeddingModel
from dtlns.models.registry import build_model
from dtlns.models.tuning import tune
from dtlns.samplers.registry import build_sampler
from dtlns.training.device import resolve_device
from dtlns.training.identity import run_identity
from dtlns.training.loop import Loop, Refresh, SelectorLike
from dtlns.training.memory import memory_kept, memory_named
from dtlns.training.parallel import processes
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import TrainConfig
from dtlns.trees import PathCodes


def train(
    train: TrainView,
    settings: TrainConfig | None = None,
    *,
    selector: SelectorLike | None = None,
    codes: Mapping[str, PathCodes] | None = None,
    false_negatives: FalseNegatives | None = None,
    refresh: Refresh | None = None,
    start: Mapping[str, Tensor] | None = None,
    device: str | torch.device = "auto",
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TrainedModel:
    """Train a model, or fit one that needs no epochs.

    Args:
        train: The training interactions; the model's graph, whatever false negatives add.
        settings: The run; None takes the defaults.
        selector: Chooses the epoch, or the options. None trains for exactly `settings.epochs` epochs, as
            everything upstream of the final model must.
        codes: Path codes by view name, for the multi-view terms and for samplers that use them.
        false_negatives: Judged pairs, used as `settings.false_negatives` says.
        refresh: Finds false negatives anew with the model as it is, each `settings.refresh_every` epochs.
        start: Parameters to start from, `TrainedModel.parameters` of a model of the same shape; None takes
            the model's own initial ones.
        device: `auto`, `cpu`, `cuda` …; one process of `torchrun` takes the GPU of its own local rank.
        checkpoint_dir: Gets a checkpoint after each validation.
        resume: Go on from the checkpoint there, to the same bits on a CPU with the same number of threads;
            without a checkpoint, start. False removes an old one.
        progress: Called after each epoch.

    Returns:
        The model of the best epoch, or of the last one without a selector; with `settings.tune`, the one with
        the best options.

    Raises:
        ConfigError: Settings do not fit together or to what was given.
        CheckpointError: The checkpoint is damaged or belongs to another run.
        TrainingError: The loss or an embedding is not finite.

    Example:
        >>> import scipy.sparse as sp
        >>> view = TrainView.from_csr(sp.csr_array([[1, 0, 1], [0, 1, 0]]))
        >>> from dtlns.training.settings import ModelConfig
        >>> train(view, TrainConfig(model=ModelConfig(name="popularity"))).scorer.n_items
        3
    """
    settings = TrainConfig() if settings is None else settings
    use = settings.false_negatives
    if use != "ignore" and false_negatives is None:
        raise ConfigError(
            f"false negatives shall be used as {use!r}, but there are none", hint="give them, or use ignore"
        )
    if false_negatives is not None:
        false_negatives.check(train)
    if settings.tune:
        return _tuned(train, settings, selector)
    model = build_model(settings.model, train, seed=settings.seed)
    if not isinstance(model, EmbeddingModel):
        _refuse_false_negatives(settings)
        value = None if selector is None else selector(model)
        name = None if selector is None else selector.name
        return TrainedModel(scorer=model, metric=name, best_value=value)
    if train.n_interactions == 0:
        raise ConfigError("there are no training interactions", hint="check the split")
    if settings.refresh_every and refresh is None:
        raise ConfigError(
            f"false negatives shall be found anew each {settings.refresh_every} epochs, but not how",
            hint="give `refresh`, or set refresh_every = 0",
        )
    where = device if isinstance(device, torch.device) else resolve_device(device)
    if start is not None:
        _start_from(model, start)
    codes = dict(codes or {})
    loss = loss_for(model, settings)
    with processes(where) as group, memory_named(settings), memory_kept():
        loop = Loop(
            model=model.to(where),
            sampler=build_sampler(settings, train, codes).to(where),
            loss=loss,
            train=train,
            settings=settings,
            device=where,
            false_negatives=false_negatives,
            refresh=refresh,
            selector=selector,
            processes=group,
        )
        if checkpoint_dir is not None:
            identity = run_identity(train, settings, codes, false_negatives, where, selector, start)
            loop.keep_at(Path(checkpoint_dir), identity, resume=resume)
        return loop.run(progress)


def loss_for(model: EmbeddingModel, settings: TrainConfig) -> Loss | None:
    """Return the loss that is asked for, or None where the model brings its own.

    Args:
        model: What is trained.
        settings: `loss` is read.

    Raises:
        ConfigError: No such loss, its options are wrong, or the model cannot be trained with another one.
    """
    if model.default_loss is not None:
        return build_loss(settings.loss, model.default_loss)
    if settings.loss.name is not None:
        raise ConfigError(
            f"model {settings.model.name!r} brings its own loss and cannot be trained with "
            f"{settings.loss.name!r}",
            hint="leave the loss out",
        )
    if settings.loss.options:
        raise ConfigError(
            f"model {settings.model.name!r} brings its own loss, which has no option "
            f"{min(settings.loss.options)!r}",
            hint="its numbers are options of the model",
        )
    return None


def _start_from(model: EmbeddingModel, start: Mapping[str, Tensor]) -> None:
    """Put parameters into a model of the same shape."""
    own = {name: list(tensor.shape) for name, tensor in model.named_parameters()}
    given = {name: list(tensor.shape) for name, tensor in start.items()}
    if own != given:
        raise ConfigError(
            f"the parameters to start from are {given}",
            allowed=f"those of the model that is trained, {own}",
            hint="start from a model of the same kind, size and training split",
        )
    model.load_state_dict(dict(start), strict=False)


def _tuned(train: TrainView, settings: TrainConfig, selector: SelectorLike | None) -> TrainedModel:
    """Fit a model without epochs with the options that validation chooses."""
    if selector is None:
        raise ConfigError(
            "tuning needs validation",
            hint="split the data with `dtlns data split`; in Python, give a selector",
        )
    _refuse_false_negatives(settings)
    tuned = tune(settings.model, train, selector, seed=settings.seed)
    return TrainedModel(
        scorer=tuned.scorer,
        metric=selector.name,
        best_value=tuned.value,
        history=[
            {"trial": number, "options": trial.options, selector.name: trial.value}
            for number, trial in enumerate(tuned.trials, start=1)
        ],
        options=tuned.options,
    )


def _refuse_false_negatives(settings: TrainConfig) -> None:
    if settings.false_negatives != "ignore":
        raise ConfigError(
            f"model {settings.model.name!r} cannot use false negatives",
            allowed="ignore, or a model that is trained by epochs, such as mf or lightgcn",
        )
