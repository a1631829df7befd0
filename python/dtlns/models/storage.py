"""How a scorer lies in a folder: `scorer.json` says what it is, `scorer.safetensors` holds its arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dtlns.artifacts import write_json
from dtlns.errors import ArtifactError

HEADER = "scorer.json"
TENSORS = "scorer.safetensors"


def write_header(folder: Path, kind: str, **facts: Any) -> None:
    """Write `scorer.json`.

    Args:
        folder: An existing folder.
        kind: Entry point that can load it, in the group `dtlns.models`.
        **facts: What else the scorer needs, as JSON values.
    """
    write_json(Path(folder) / HEADER, {"scorer": kind, **facts})


def read_header(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """Read `scorer.json`.

    Args:
        folder: A folder that a scorer was saved to.
        kind: What it must hold, if that is known.

    Returns:
        What was written, `scorer` among it.

    Raises:
        ArtifactError: It is missing, damaged or of another kind.
    """
    path = Path(folder) / HEADER
    try:
        header: dict[str, Any] = json.loads(path.read_bytes())
        found = header["scorer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({error})", allowed="a folder with a saved scorer"
        ) from error
    if kind is not None and found != kind:
        raise ArtifactError(f"{path} holds the scorer {found!r}", allowed=repr(kind))
    return header
