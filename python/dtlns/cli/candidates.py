"""`dtlns candidates`."""

from __future__ import annotations

from pathlib import Path

import click

from dtlns.artifacts import open_artifact
from dtlns.cli import options
from dtlns.data.dataset import load_dataset
from dtlns.stages.candidates import hide_rule, write_candidates
from dtlns.stages.pretrain import KIND as PRETRAINED


@click.command("candidates")
@click.argument("dataset", type=options.FOLDER)
@options.output
@click.option("--pretrained", type=options.FOLDER, required=True, help="From `dtlns pretrain`.")
@click.option(
    "-m", "m", type=click.IntRange(min=1), default=20, show_default=True, help="Candidates per user."
)
@options.force
def command(dataset: Path, out: Path, pretrained: Path, m: int, force: bool) -> None:
    """Take the M unobserved items that the pretrained model scores highest, for every user of DATASET."""
    options.log_to_stderr()
    data = load_dataset(dataset)
    write_candidates(
        out,
        data.train,
        open_artifact(pretrained, PRETRAINED),
        m,
        hide_by=hide_rule(data),
        facts=options.where(dataset, out),
        if_exists=options.if_exists(force),
    )
    click.echo(str(out))
