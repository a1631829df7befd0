"""The data set folder's page for eyes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl


def summary_text(facts: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> str:
    """Return `summary.md`: sizes, the split, what was dropped, and the most popular items.

    Args:
        facts: What goes to `dataset.json`.
        tables: The folder's tables by name.

    Returns:
        Markdown text.
    """
    users, items = tables["users"].height, tables["items"].height
    cold_users, cold_items = users - facts["train_users"], items - facts["train_items"]
    lines = [f"# {facts['name']}", ""]
    lines += ["| what | count |", "|---|---:|"]
    lines += [f"| users | {users:,} |", f"| items | {items:,} |"]
    if cold_users or cold_items:
        lines += [
            f"| users without training rows (cold) | {cold_users:,} |",
            f"| items without training rows (cold) | {cold_items:,} |",
        ]
    for split in ("train", "valid", "test"):
        if split in tables:
            lines.append(f"| {split} interactions | {tables[split].height:,} |")
    how = facts["split"]
    lines += ["", f"Split: {_split_words(how)}.", ""]
    if facts["notes"]:
        lines += ["## Notes", "", *[f"- {note}" for note in facts["notes"]], ""]
    lines += [
        "## Most popular items in training",
        "",
        "| index | id | name | interactions |",
        "|---:|---|---|---:|",
    ]
    counts = np.bincount(tables["train"]["item"].to_numpy(), minlength=items)
    named = tables["items"]["name"] if "name" in tables["items"].columns else None
    for index in np.argsort(-counts, kind="stable")[:10].tolist():
        label = "" if named is None or named[index] is None else str(named[index]).replace("|", "\\|")
        lines.append(f"| {index} | {tables['items']['id'][index]} | {label} | {counts[index]:,} |")
    lines += ["", "Tables are in index order; `dataset.json` is the schema, `manifest.json` the proof.", ""]
    return "\n".join(lines)


def _split_words(how: Mapping[str, Any] | None) -> str:
    if how is None:
        return "none yet, all interactions are in train (`dtlns data split`)"
    details = ", ".join(
        f"{key} {value}" for key, value in sorted(how.items()) if key != "by" and value is not None
    )
    return f"{how['by']}" + (f" ({details})" if details else "")
