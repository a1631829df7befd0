"""`dtlns recommend`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dtlns.cli import options
from dtlns.cli.table_output import FORMATS, table_format, table_output
from dtlns.stages.evaluation import find_dataset, open_model
from dtlns.stages.recommending import SEEN, Lists, plan_lists, read_ids
from dtlns.whole_file import check_free_file

log = logging.getLogger(__name__)
_PAUSE = 10.0  # seconds between two lines of progress
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("recommend")
@click.argument("run", type=options.FOLDER)
@click.option("-k", "k", type=click.IntRange(min=1), default=20, show_default=True, help="Items for a user.")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File to write: .parquet, .csv, .tsv or .jsonl.  [default: stdout]",
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Format.  [default: by suffix; csv on stdout]"
)
@click.option("--data", type=options.FOLDER, help="The data set, when it is not where RUN was trained on it.")
@click.option("--user", "named", multiple=True, metavar="ID", help="A user; may be repeated.")
@click.option("--users", "users_file", type=FILE, help="Users, one id a line.  [default: all]")
@click.option(
    "--seen",
    type=click.Choice(list(SEEN)),
    default="train",
    show_default=True,
    help="What is left out of a user's list: the training interactions, those of validation too, those of "
    "all splits, or nothing.",
)
@click.option("--only-items", "only_file", type=FILE, help="Items that may be recommended, one id a line.")
@click.option("--exclude-items", "exclude_file", type=FILE, help="Items that may not, one id a line.")
@click.option(
    "--item-names",
    type=FILE,
    help="CSV or Parquet with columns id and name.  [default: the names of the data set, where it has some]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to rank; auto takes a GPU when there is one.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Report on the file of -o as JSON, for machines.")
def command(
    run: Path,
    k: int,
    out: Path | None,
    form: str | None,
    data: Path | None,
    named: tuple[str, ...],
    users_file: Path | None,
    seen: str,
    only_file: Path | None,
    exclude_file: Path | None,
    item_names: Path | None,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """List the best items for users of the model in RUN (from `dtlns train` or `dtlns run`).

    A row for each user and rank: user, rank from 1, item, score, and name where names are known. The lists
    are those that `dtlns evaluate` measures. Users without training interactions get none.
    """
    options.log_to_stderr()
    out = None if out is None or str(out) == "-" else out
    form = table_format(out, form)
    if out is None and as_json:
        raise click.UsageError("--json reports on a file: name one with -o (for JSON rows, --format jsonl)")
    if out is not None:
        check_free_file(out, force=force)
    users = [*named, *(read_ids(users_file) if users_file else [])]
    model = open_model(run)
    lists = plan_lists(
        model,
        find_dataset(model, data),
        users=users or None,
        seen=seen,
        only_items=read_ids(only_file) if only_file else None,
        exclude_items=read_ids(exclude_file) if exclude_file else (),
        item_names=item_names,
    )
    facts = {"path": None if out is None else str(out), "model": str(model.path), "k": k, "seen": seen}
    facts |= _write(lists, k, device, out, form)
    if out is None:
        click.echo(_text(facts), err=True)
    else:
        options.emit(facts, as_json, lambda: f"{out}: {_text(facts)}")


def _write(lists: Lists, k: int, device: str, out: Path | None, form: str) -> dict[str, Any]:
    """Make the lists and write them; what they are like."""
    rows = full = 0
    started = shown = time.monotonic()
    with table_output(out, form) as write:
        for block in lists.blocks(k, device):
            write(block)
            rows, full = rows + block.height, full + int((block["rank"] == k).sum())
            if time.monotonic() - shown >= _PAUSE:
                shown = time.monotonic()
                log.info("%s rows in %.0f s", f"{rows:,}", shown - started)
    return {
        "users": len(lists.users),
        "items": lists.n_items,
        "rows": rows,
        "short_lists": len(lists.users) - full,
        "cold_users": lists.cold_users,
        "seconds": round(time.monotonic() - started, 3),
    }


def _text(facts: Mapping[str, Any]) -> str:
    k, items = facts["k"], f"{facts['items']:,} item{'' if facts['items'] == 1 else 's'}"
    lines = [f"the {k} best of {items} for {_users(facts['users'])}; left out: {SEEN[facts['seen']]}"]
    if facts["short_lists"]:
        lines.append(f"  fewer than {k} items are left for {_users(facts['short_lists'])}")
    if facts["cold_users"]:
        lines.append(f"  no list for {_users(facts['cold_users'])} without training interactions")
    return "\n".join(lines)


def _users(count: int) -> str:
    return f"{count:,} user{'' if count == 1 else 's'}"
