"""What a run leaves for eyes: the comparison as a table, and a README that explains its folder."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import tomli_w

from dtlns.artifacts import open_artifact, write_text
from dtlns.config import BestConfig, RunConfig
from dtlns.errors import ArtifactError

log = logging.getLogger(__name__)

_FOLDERS = [
    ("config.toml", "all settings; `dtlns run config.toml -o FOLDER` does the same again"),
    ("results.json", "everything in the table above, for machines"),
    (
        "chosen",
        "the row that validation chose; `dtlns evaluate` of this folder measures it",
    ),
    ("dataset/", "the imported log"),
    ("split/", "its split"),
    (
        "pretrained/",
        "the model behind the semantic tree and the candidates; trained on the training split alone",
    ),
    ("trees/", "one index tree for each view; the `.txt` files are for eyes"),
    ("candidates/", "each user's best unobserved items"),
    ("hidden/", "the training positives that calibration hides, and the model pretrained without them"),
    ("hidden-2/", "the same, hidden by another seed; there may be more of them"),
    ("found/", "candidates with the `p_hidden` of the false-negative model, and what it is worth"),
    ("calibration/", "what the judge's scores are worth, measured on hidden training positives"),
    ("judged/", "the candidates with the judge's scores and `p_hidden`"),
    (
        "models/",
        "one folder for each row of the table, and for each way to use false negatives that was tried",
    ),
]


def table(results: dict[str, Any]) -> str:
    """Return the comparison as a Markdown table that also reads well as plain text."""
    header = ["", "valid R@20", "valid N@20", "test R@20", "test N@20", "seconds"]
    lines = []
    for entry in results["rows"]:
        result = entry["result"]
        cells = [entry["name"] + (" *" if entry["folder"] == results["chosen"] else "")]
        for split in ("valid", "test"):
            cells += [
                f"{result[split][metric]:.4f}" if split in result else "–"
                for metric in ("recall@20", "ndcg@20")
            ]
        lines.append([*cells, f"{entry['seconds']:.1f}"])
    widths = [max(len(line[at]) for line in [header, *lines]) for at in range(len(header))]

    def row(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (width + 1) + ":" for width in widths[1:]])
    return "\n".join([row(header), rule + "|", *map(row, lines)])


def caption(results: dict[str, Any]) -> str:
    """Say what the table's numbers are."""
    first = results["rows"][0]["result"]
    users = first["users"].get("test", first["users"].get("valid"))
    return (
        f"Protocol {first['protocol']}: full ranking, training interactions masked and nothing else; "
        f"{users} test users; one seed ({results['seed']}), so small differences mean nothing. "
        f"* chosen on validation {results['metric']}. "
        "Validation also chose each row's epoch, so its columns flatter; test chose nothing and was "
        "opened after all rows were trained."
    )


def write_report(out: Path, config: RunConfig | BestConfig, results: dict[str, Any]) -> None:
    """Write `README.md`, `config.toml` and `chosen` into a run's folder.

    Args:
        out: The run's folder.
        config: Its settings.
        results: What `dtlns.pipeline.run` or `dtlns.best_recipe.run_best` returns.
    """
    data = results["data"]
    lines = [
        f"# dtlns run on {data['name']}",
        "",
        f"{data['users']} users, {data['items']} items, {data['interactions']} training interactions.",
        "",
        table(results),
        "",
        caption(results),
        "",
        *(f"- {reason}" for reason in results.get("why", [])),
        *([""] if results.get("why") else []),
    ]
    found = results["calibration"]
    if found is not None:
        within = found.get("auc_within_users")
        among = "" if within is None else f" over all candidates ({within:.3f} among those of one user)"
        lines += [
            "How well the judge finds positives hidden from training, on users that its fit has not seen: "
            f"AUC {found['auc']:.3f}{among}, average precision {found['average_precision']:.4f} at a "
            f"base rate of {found['base_rate']:.4f}, lift {found['lift_at_top_1_percent']:.2f} "
            f"in the top 1 %, calibration error {found['calibration_error']:.5f}.",
            "",
        ]
    write_text(out / "config.toml", tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    write_text(out / "chosen", results["chosen"].removeprefix("models/") + "\n")
    lines += ["| what | holds |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in _FOLDERS if (out / name).exists()]
    write_text(out / "README.md", "\n".join(lines) + "\n")


def withdraw_report(out: Path) -> None:
    """Remove what an earlier run says of its folder, before models change under it.

    Args:
        out: The run's folder.
    """
    for name in ("chosen", "README.md", "results.json"):
        (out / name).unlink(missing_ok=True)


def withdraw_models(out: Path, recipe: str, made: Collection[Path]) -> None:
    """Remove models that an earlier run of a recipe left with other settings; whatever else is there stays.

    Args:
        out: The run's folder.
        recipe: Which one; the `run.json` of its models says it.
        made: Folders of the models of this run.
    """
    for folder in sorted((out / "models").iterdir()):
        try:
            stale = folder not in made and open_artifact(folder, "model").facts.get("recipe") == recipe
        except ArtifactError:  # not a model
            continue
        if stale:
            log.info("%s: of an earlier run with other settings; removing it", folder.name)
            aside = folder.with_name(f".{folder.name}.partial-old-{os.getpid()}")
            folder.rename(aside)  # a half-removed one has a name that the next writer clears
            shutil.rmtree(aside)
