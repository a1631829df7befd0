"""`dtlns export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from dtlns.cli import options
from dtlns.exporting import INDEXES, VECTORS, write_index, write_vectors
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.registry import load_scorer
from dtlns.stages.evaluation import find_dataset, open_model

OUTPUT = click.Path(path_type=Path)
data_option = click.option(
    "--data", type=options.FOLDER, help="The data set, when it is not where RUN was trained on it."
)
force_option = click.option("--force", is_flag=True, help="Replace files that are there.")


@click.group("export")
def command() -> None:
    """Write a model's vectors, or an index of its items, for other tools."""


@command.command("vectors")
@click.argument("run", type=options.FOLDER)
@click.option(
    "-o", "--output", "out", type=OUTPUT, required=True, help=f"NAME with a suffix: {', '.join(VECTORS)}."
)
@data_option
@force_option
@options.as_json
def vectors(run: Path, out: Path, data: Path | None, force: bool, as_json: bool) -> None:
    """Write the vectors of users and items of the model in RUN, with their own ids.

    The inner product of two vectors is the score. NAME.safetensors is one file; NAME.parquet becomes
    NAME.users.parquet and NAME.items.parquet; NAME.npy becomes NAME.users.npy, NAME.items.npy,
    NAME.user_ids.npy and NAME.item_ids.npy.
    """
    _export(write_vectors, run, out, data, force, as_json)


@command.command("index")
@click.argument("run", type=options.FOLDER)
@click.option(
    "-o", "--output", "out", type=OUTPUT, required=True, help=f"NAME with a suffix: {', '.join(INDEXES)}."
)
@data_option
@force_option
@options.as_json
def index(run: Path, out: Path, data: Path | None, force: bool, as_json: bool) -> None:
    """Write an index of the items of the model in RUN, by inner product.

    NAME.faiss is exact, NAME.usearch approximate and fast. The items' ids are beside it, in
    NAME.faiss.ids.parquet or NAME.usearch.ids.parquet.
    """
    _export(write_index, run, out, data, force, as_json)


def _export(
    write: Callable[..., list[Path]], run: Path, out: Path, data: Path | None, force: bool, as_json: bool
) -> None:
    options.log_to_stderr()
    model = open_model(run)
    dataset = find_dataset(model, data)
    model.check_train(dataset.train.digest)
    scorer = load_scorer(model.path)
    files = write(out, scorer, dataset.train, force=force)
    assert isinstance(scorer, EmbeddingScorer)
    facts = {
        "files": [str(file) for file in files],
        "model": str(model.path),
        "users": scorer.n_users,
        "items": scorer.n_items,
        "dimensions": scorer.item_vectors.shape[1],
    }
    shape = f"{scorer.n_users:,} users, {scorer.n_items:,} items, {facts['dimensions']} dimensions"
    options.emit(facts, as_json, lambda: "\n".join([*map(str, files), f"  {shape}"]))
