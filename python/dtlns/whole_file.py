"""Single files that are whole or not there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dtlns.errors import ArtifactError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a file its name when it is whole; what was there stays when the body fails.

    Args:
        path: What the file shall be called.

    Yields:
        A name beside it to write to.

    Example:
        >>> with whole_file(Path("list.txt")) as partial:  # doctest: +SKIP
        ...     partial.write_text("all of it")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # processes of two machines, or of two containers, may have one number
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def check_free_file(path: Path, *, force: bool = False) -> None:
    """Raise early when a file cannot be written to `path`.

    Args:
        path: Where the file shall be.
        force: Whether a file that is there may be replaced.

    Raises:
        ArtifactError: A folder is there, or a file and `force` is false.
    """
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder", allowed="the name of a file")
    if path.exists() and not force:
        raise ArtifactError(f"{path} exists", hint="choose another output file, or replace it with --force")
