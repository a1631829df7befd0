"""`dtlns run`."""

from __future__ import annotations

from pathlib import Path

import click

from dtlns.best_recipe import run_best
from dtlns.cli import options
from dtlns.config import BestConfig
from dtlns.pipeline import run
from dtlns.run_file import load_run_config
from dtlns.run_report import caption, table
from dtlns.training.progress import stderr_progress


@click.command("run")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--recipe",
    type=click.Choice(["published", "best"]),
    help="The published method part by part, or what works best leak-free.  [default: published]",
)
@click.option("--data", help="A data set folder, or a bundled one such as bundled:movielens-small.")
@click.option("-o", "--output", "out", type=options.FOLDER, help="The run's folder.")
@options.device
@options.as_json
def command(
    config: Path | None, recipe: str | None, data: str | None, out: Path | None, device: str, as_json: bool
) -> None:
    """Do all of it: split, pretrain, build trees, judge, train, compare.

    Reads CONFIG (a TOML file), or takes the defaults for --data. Stages that are there and verified are
    skipped, so the same command goes on after an interruption.
    """
    options.log_to_stderr()
    if (config is None) == (data is None):
        raise click.UsageError("give either a TOML file or --data DATASET")
    settings = load_run_config(config, data, recipe)
    folder = out or (None if settings.output is None else Path(settings.output))
    if folder is None:
        raise click.UsageError("where shall the run go? Give -o RUN, or `output` in the TOML file")
    base = Path() if config is None else config.resolve().parent
    shown = stderr_progress()
    if isinstance(settings, BestConfig):
        results = run_best(settings, folder, base=base, device=device, progress=shown)
    else:
        results = run(settings, folder, base=base, device=device, progress=shown)
    parts = ["\n".join(results["why"])] if "why" in results else []
    parts += [table(results), f"{caption(results)}\n{folder}/README.md has more."]
    options.emit(results, as_json, lambda: "\n\n".join(parts))
