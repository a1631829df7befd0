"""`dtlns add-prior`."""

from __future__ import annotations

from pathlib import Path

import click

from dtlns.artifacts import open_artifact
from dtlns.cli import options
from dtlns.stages.evaluation import find_dataset, open_model
from dtlns.stages.judging import KIND as JUDGED
from dtlns.stages.prior import chosen_weight, write_with_prior
from dtlns.training.result import TrainedModel


@click.command("add-prior")
@click.argument("run", type=options.FOLDER)
@options.output
@click.option(
    "--false-negatives",
    "judged",
    type=options.FOLDER,
    required=True,
    help="From `dtlns find-false-negatives` or `dtlns judge`, of the same training split.",
)
@click.option("--data", type=options.FOLDER, help="The data set, when it is not where RUN was trained on it.")
@options.as_json
@options.force
def command(run: Path, out: Path, judged: Path, data: Path | None, as_json: bool, force: bool) -> None:
    """Add the log-odds of false negatives to the scores of the model in RUN, with a weight from validation.

    The metric that chose the model's epoch chooses the weight, which may be 0. What is written is evaluated
    and recommended from like any model.
    """
    options.log_to_stderr()
    model = open_model(run)
    dataset = find_dataset(model, data)
    metric = model.config.get("selected_by") or "recall@20"
    facts = options.where(dataset.path, out)
    found = open_artifact(judged, JUDGED)
    written = write_with_prior(
        out, model, found, dataset, metric=metric, facts=facts, if_exists=options.if_exists(force)
    )
    weight, value = chosen_weight(written, metric), TrainedModel.load(written.path).best_value
    told = {"prior": weight, metric: value}
    options.emit(
        told,
        as_json,
        lambda: (
            f"the prior's weight is {weight:g} times the host's own spread; validation {metric} {value:.4f}"
        ),
    )
