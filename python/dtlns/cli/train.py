"""`dtlns train`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import click

from dtlns.artifacts import open_artifact
from dtlns.cli import options
from dtlns.cli.fit_options import given, loop_options, named_values, refuse_loop_options, settings_from
from dtlns.config import SelectionConfig, checked
from dtlns.data.dataset import load_dataset
from dtlns.errors import ConfigError
from dtlns.idle import has_epochs
from dtlns.models.tuning import options_text
from dtlns.recipe import Recipe, read_recipe
from dtlns.stages.calibration import KIND as CALIBRATION
from dtlns.stages.judging import KIND as JUDGED
from dtlns.stages.training import KIND as MODEL
from dtlns.stages.training import write_model
from dtlns.stages.trees import KIND as TREES
from dtlns.training.parallel import is_first
from dtlns.training.progress import stderr_progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import WEIGHED, SamplerConfig, TrainConfig, Use
from dtlns.training.tensorboard import both, tensorboard_progress

DEFAULTS = TrainConfig(sampler=SamplerConfig(name="mixgcf"))
# what a model without epochs is told
_FITTED = {
    "dataset", "out", "config", "model__name", "model_options", "tune", "seed", "resume", "device", "force"
}  # fmt: skip


@click.command("train")
@click.argument("dataset", type=options.FOLDER)
@options.output
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings from a TOML file, such as best.toml of `dtlns tune`; options that are given win over it.",
)
@click.option("--model", "model__name", default="lightgcn", show_default=True, help="Model.")
@click.option(
    "--option",
    "model_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the model, such as l2=100; a number, true, false, or text.",
)
@click.option("--tune", is_flag=True, help="Choose the options of a model without epochs on validation.")
@click.option("--sampler", "sampler__name", default="mixgcf", show_default=True, help="Negative sampler.")
@click.option(
    "--sampler-option", "sampler_options", multiple=True, metavar="NAME=VALUE", help="Option of the sampler."
)
@click.option("--loss", "loss__name", help="Loss.  [default: the model's own]")
@click.option(
    "--loss-option", "loss_options", multiple=True, metavar="NAME=VALUE", help="Option of the loss."
)
@click.option(
    "--similarity",
    "loss__similarity",
    type=click.Choice(["inner", "cosine"]),
    help="How vectors are compared, in training and in the result.  [default: the loss's own]",
)
@click.option("--multi-view", "sampler__multi_view", is_flag=True, help="Prefer negatives near the positive.")
@click.option("--trees", type=options.FOLDER, help="From `dtlns build-trees`; needed for --multi-view.")
@click.option(
    "--view-weight",
    "view_weights",
    multiple=True,
    metavar="NAME=WEIGHT",
    help="Weight of a view in --multi-view.  [default: structural=0.1, semantic=0.3]",
)
@click.option("--false-negatives", "judged", type=options.FOLDER, help="From `dtlns judge`.")
@click.option(
    "--use",
    type=click.Choice(get_args(Use)),
    help="What false negatives do: leave the negatives (avoid: each by its chance, in each epoch anew), or "
    "become positives.  [default: weighted if given]",
)
@click.option("--top", type=int, default=20, show_default=True, help="Judged pairs of each user to use.")
@click.option(
    "--scale", type=float, default=8.0, show_default=True, help="Weight = min(1, scale · p_hidden)."
)
@click.option("--weight", type=float, help="The same weight for all of them, in place of --scale.")
@click.option(
    "--observed",
    type=float,
    default=DEFAULTS.observed,
    show_default=True,
    help="With --use sampled: the chance of an observed pair to be in an epoch.",
)
@click.option(
    "--start-from",
    type=options.FOLDER,
    help="A model of the same shape that training goes on from, with a fresh optimiser.",
)
@click.option("--calibration", type=options.FOLDER, help="From `dtlns calibrate`; for --refresh-every.")
@click.option(
    "--refresh-every",
    type=int,
    default=DEFAULTS.refresh_every,
    show_default=True,
    help="Epochs after which false negatives are found anew; 0 keeps the given ones.",
)
@loop_options(DEFAULTS)
@click.option(
    "--validate-every", type=int, default=DEFAULTS.validate_every, show_default=True, help="Epochs."
)
@click.option(
    "--patience",
    type=int,
    default=DEFAULTS.patience,
    show_default=True,
    help="Validations without a better value after which to stop.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default=DEFAULTS.precision,
    show_default=True,
    help="Of scores and losses; parameters are float32.",
)
@click.option("--compile", is_flag=True, help="Compile the step with torch.compile.")
@click.option(
    "--tensorboard", type=click.Path(path_type=Path, file_okay=False), help="Folder for TensorBoard."
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted run.")
@options.device
@options.force
def command(
    dataset: Path,
    out: Path,
    config: Path | None,
    trees: Path | None,
    model_options: tuple[str, ...],
    sampler_options: tuple[str, ...],
    loss_options: tuple[str, ...],
    view_weights: tuple[str, ...],
    judged: Path | None,
    calibration: Path | None,
    tensorboard: Path | None,
    use: str | None,
    top: int,
    scale: float,
    weight: float | None,
    start_from: Path | None,
    resume: bool,
    device: str,
    force: bool,
    **fit: Any,
) -> None:
    """Train a model on DATASET; its validation split, where there is one, chooses the epoch.

    A model without epochs, such as ease, is fitted; with --tune, validation chooses those of its options that
    --option does not give.
    """
    options.log_to_stderr()
    recipe = Recipe(train=DEFAULTS) if config is None else read_recipe(config)
    # Over the file, or the defaults, lies what is on the command line and nothing else.
    fit = {name: value for name, value in fit.items() if given(name)}
    for part, flag, texts in (
        ("model", "--option", model_options),
        ("sampler", "--sampler-option", sampler_options),
        ("loss", "--loss-option", loss_options),
    ):
        name, known = getattr(recipe.train, part).name, getattr(recipe.train, part).options
        kept = known if fit.get(f"{part}__name", name) == name else {}  # options belong to what they are of
        fit[f"{part}__options"] = kept | named_values(flag, texts)
    if view_weights:
        fit["sampler__view_weights"] = dict(_weight(text) for text in view_weights)
    if use is not None or (judged is not None and config is None):
        fit["false_negatives"] = use or "weighted"
    if given("observed") and fit.get("false_negatives", recipe.train.false_negatives) != "sampled":
        raise click.UsageError("--observed changes nothing without --use sampled")
    settings = settings_from(recipe.train, fit)
    _refuse_unused(settings)
    if judged is not None and use is None and settings.false_negatives == "ignore":
        raise ConfigError(
            f"{config}: train.false_negatives = 'ignore', so --false-negatives would change nothing",
            hint="say what they do with --use",
        )
    which = {
        name: value for name, value in (("top", top), ("scale", scale), ("weight", weight)) if given(name)
    }
    listeners = [stderr_progress()]
    if tensorboard is not None and is_first():
        listeners.append(tensorboard_progress(tensorboard))
    with TemporaryDirectory() as scratch:
        # of the processes of torchrun, the first one writes; what the others have is the same
        place = out if is_first() else Path(scratch) / "model"
        artifact = write_model(
            place,
            load_dataset(dataset),
            settings,
            trees=None if trees is None else open_artifact(trees, TREES),
            judged=None if judged is None else open_artifact(judged, JUDGED),
            calibration=None if calibration is None else open_artifact(calibration, CALIBRATION),
            selection=checked(SelectionConfig, recipe.selection.model_dump() | which, "command line"),
            start=None if start_from is None else open_artifact(start_from, MODEL),
            metric=recipe.metric,
            facts=options.where(dataset, place),
            device=device,
            if_exists=options.if_exists(force),
            resume=resume,
            progress=both(*listeners),
        )
    if is_first():
        click.echo(f"{out}: {_outcome(TrainedModel.load(artifact.path))}")


def _refuse_unused(settings: TrainConfig) -> None:
    """Refuse options that would change nothing: a lone one, and those of the loop for a fitted model."""
    if given("weight") and given("scale"):
        raise click.UsageError("--weight takes the place of --scale: give one of them")
    model = settings.model.name
    if has_epochs(model):
        use = settings.false_negatives
        judged = use != "ignore"
        weigher = f"--use {', '.join(WEIGHED[:-1])} or {WEIGHED[-1]}" if judged else "--false-negatives"
        for flag, name, used, by in (
            ("--view-weight", "view_weights", settings.sampler.multi_view, "--multi-view"),
            ("--top", "top", judged, "--false-negatives"),
            ("--scale", "scale", use in WEIGHED, weigher),
            ("--weight", "weight", use in WEIGHED, weigher),
        ):
            if given(name) and not used:
                raise click.UsageError(f"{flag} changes nothing without {by}")
        return
    refuse_loop_options(model, _FITTED, " or chosen with --tune")


def _outcome(model: TrainedModel) -> str:
    if model.metric is None or model.best_value is None:
        return f"{f'{model.epochs_run} epochs' if model.epochs_run else 'fitted'}, no validation"
    value = f"validation {model.metric} {model.best_value:.4f}"
    if model.options is not None:
        return f"{value} with {options_text(model.options)}, the best of {len(model.history)}"
    return f"{value} at epoch {model.best_epoch}" if model.epochs_run else value


def _weight(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        if equals and name:
            return name, float(value)
    except ValueError:
        pass
    raise click.UsageError(f"--view-weight {text!r}: write NAME=WEIGHT, such as structural=0.1")
