"""`dtlns pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dtlns.cli import options
from dtlns.cli.fit_options import loop_options, named_values, refuse_loop_options, settings_from
from dtlns.config import DEFAULT_PRETRAIN
from dtlns.data.dataset import load_dataset
from dtlns.idle import has_epochs
from dtlns.stages.pretrain import write_pretrained
from dtlns.training.progress import stderr_progress

_FITTED = {"dataset", "out", "model__name", "model_options", "seed", "device", "force"}  # what it is told


@click.command("pretrain")
@click.argument("dataset", type=options.FOLDER)
@options.output
@click.option("--model", "model__name", default=DEFAULT_PRETRAIN.model.name, show_default=True, help="Model.")
@click.option(
    "--sampler",
    "sampler__name",
    default=DEFAULT_PRETRAIN.sampler.name,
    show_default=True,
    help="Negative sampler.",
)
@click.option(
    "--option", "model_options", multiple=True, metavar="NAME=VALUE", help="Option of the model, as in TOML."
)
@loop_options(DEFAULT_PRETRAIN)
@options.device
@options.force
def command(
    dataset: Path, out: Path, model_options: tuple[str, ...], device: str, force: bool, **fit: Any
) -> None:
    """Train a model on DATASET's training split, for the semantic tree and for candidates.

    It never sees validation or test pairs, and so trains for exactly --epochs epochs;
    a model without epochs, such as ials, is fitted.
    """
    options.log_to_stderr()
    if not has_epochs(fit["model__name"]):
        refuse_loop_options(fit["model__name"], _FITTED)
    settings = settings_from(
        DEFAULT_PRETRAIN, fit | {"model__options": named_values("--option", model_options)}
    )
    write_pretrained(
        out,
        load_dataset(dataset).train,
        settings,
        facts=options.where(dataset, out),
        device=device,
        if_exists=options.if_exists(force),
        progress=stderr_progress(),
    )
    click.echo(str(out))
