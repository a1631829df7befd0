"""The command line: `dtlns`, sub-commands in pipeline order, one file per command."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

import click
from safetensors import SafetensorError

from dtlns.errors import ConfigError, DtlnsError

# In pipeline order. Commands are imported when they are used: `dtlns --help` must not wait for torch.
COMMANDS = {
    "data": "Import, split, describe and make data sets.",
    "pretrain": "Train the model that gives semantic vectors and candidates.",
    "build-trees": "Build the index trees and give every item its path codes.",
    "candidates": "Take each user's best unobserved items.",
    "calibrate": "Learn what a judge's score is worth, on hidden positives.",
    "judge": "Score candidates as false negatives.",
    "find-false-negatives": "Find false negatives with a model of several sources.",
    "identification": "Measure how well a judge finds false negatives.",
    "train": "Train a model with better negatives.",
    "add-prior": "Rank by a model and by what its false negatives say.",
    "tune": "Search for the best settings on validation.",
    "evaluate": "Measure a trained model, leak-free.",
    "recommend": "List the best items for each user.",
    "export": "Write a model's vectors, or an index of its items, for other tools.",
    "audit": "Find leaks in data, candidates, predictions and logs, of any tool.",
    "compare": "Train a grid of rows and seeds, and test the differences.",
    "run": "Do all of it, from one TOML file or one data set.",
}


class Pipeline(click.Group):
    """Lists commands in pipeline order and loads them late."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in pipeline order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return its command."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name != "train" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise click.UsageError(f"torchrun shares `dtlns train` among processes, not `dtlns {cmd_name}`")
        module = importlib.import_module(f"dtlns.cli.{cmd_name.replace('-', '_')}")
        return module.command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Pipeline, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dtlns")
def cli() -> None:
    """Better negatives for recommenders that learn from clicks."""


def main(argv: list[str] | None = None) -> Any:
    """Run the command line; errors go to stderr, exit status 1 for a failed job and 2 for a wrong call."""
    # Like Ctrl-C, a polite `kill` leaves through the ordinary way out: no half-written files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        cli.main(args=argv, prog_name="dtlns", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DtlnsError as error:
        click.echo(f"error: {error.what}", err=True)
        for label, text in (("allowed", error.allowed), ("hint", error.hint)):
            if text is not None:
                click.echo(f"  {label}: {text}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except (KeyboardInterrupt, click.Abort):
        again = "the same command goes on where it was, `dtlns train` with --resume"
        click.echo(f"interrupted; {again}", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        place = "" if error.filename is None else f"{error.filename}: "
        click.echo(f"error: {place}{error.strerror or error}", err=True)
        sys.exit(1)
    except SafetensorError as error:  # the same, told by the library that writes arrays
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
