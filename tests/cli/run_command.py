"""The command in this process, and a made-up data set for it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from dtlns.cli import main


def call(*words: object) -> tuple[int, str, str]:
    """Run the command; return its exit status, output and errors."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main([str(word) for word in words])
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, out.getvalue(), errors.getvalue()


def expect(*words: object, code: int = 0) -> tuple[str, str]:
    """Run the command, which ends with this exit status; return its output and errors."""
    status, out, errors = call(*words)
    assert status == code, errors
    return out, errors


def planted(base: Path) -> None:
    world = ["--users", 200, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 12]
    expect("data", "planted", "-o", base / "data", *world)
