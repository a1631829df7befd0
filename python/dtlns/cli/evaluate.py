"""`dtlns evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dtlns.cli import options
from dtlns.evaluation.protocol import DEFAULT_KS
from dtlns.stages.evaluation import evaluate_model, find_dataset, open_model


@click.command("evaluate")
@click.argument("run", type=options.FOLDER)
@click.option("--data", type=options.FOLDER, help="The data set, when it is not where RUN was trained on it.")
@click.option(
    "-k", "ks", multiple=True, type=click.IntRange(min=1), help="Cut-offs.  [default: 5 10 20 30 50]"
)
@click.option("--mask-valid", is_flag=True, help="On test, mask validation items too.")
@options.as_json
def command(run: Path, data: Path | None, ks: tuple[int, ...], mask_valid: bool, as_json: bool) -> None:
    """Measure the model in RUN (from `dtlns train` or `dtlns run`) on validation and test, leak-free.

    Ranks all items of the training catalogue for each user with held-out items, and masks the real training
    interactions only.
    """
    options.log_to_stderr()
    model = open_model(run)
    result = evaluate_model(model, find_dataset(model, data), ks=ks or DEFAULT_KS, mask_valid=mask_valid)
    options.emit(result, as_json, lambda: _describe(result))


def _describe(result: dict[str, Any]) -> str:
    lines = [f"protocol {result['protocol']}"]
    for split in ("valid", "test"):
        if split not in result:
            continue
        counts = result["counts"][split]
        lines.append(
            f"{split}: {counts['users']} users, {counts['pairs']} pairs; masked: {result['masked'][split]}; "
            f"left out: {counts['cold_users']} cold users; never ranked: {counts['cold_pairs']} cold pairs"
        )
        metrics = result[split]
        ks = sorted({int(name.partition("@")[2]) for name in metrics})
        names = list(dict.fromkeys(name.partition("@")[0] for name in metrics))
        lines.append("  " + f"{'K':>4}" + "".join(f"{name:>12}" for name in names))
        lines += [f"  {k:>4}" + "".join(f"{metrics[f'{name}@{k}']:>12.4f}" for name in names) for k in ks]
    return "\n".join(lines)
