"""Artefact folders: whole or not there, verified when read, the same bytes for the same inputs.

A folder holds data files and `manifest.json` (kind, schema version, SHA-256 of each file, digests of inputs
and of the training view, config, seed, versions). What differs from run to run (time, memory, host) goes
to `run.json` beside it and is not covered by the manifest.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dtlns.errors import ArtifactError, LeakageError
from dtlns.whole_file import whole_file

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
RUN_LOG = "run.json"
IfExists = Literal["error", "replace", "reuse"]
log = logging.getLogger(__name__)
_VERSIONED = ("dtlns", "numpy", "scipy", "polars", "scikit-learn", "torch")


@dataclass(frozen=True)
class Artifact:
    """A verified artefact folder.

    Attributes:
        path: The folder.
        manifest: The parsed manifest.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        """What the folder holds, such as `trees`."""
        return str(self.manifest["kind"])

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which names the whole content."""
        return hashlib.sha256(_dump(self.manifest)).hexdigest()

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration that made it."""
        return dict(self.manifest["config"])

    @property
    def train_digest(self) -> str | None:
        """Digest of the training view it was made from, if it was made from one."""
        value = self.manifest["train_view"]
        return None if value is None else str(value)

    @property
    def facts(self) -> dict[str, Any]:
        """What differs from run to run: time, memory, host, where the data set was."""
        file = self.path / RUN_LOG
        try:
            return dict(json.loads(file.read_bytes()))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{file} cannot be read ({error})", hint="make the artefact again") from error

    def check_train(self, digest: str) -> None:
        """Refuse to go on when the artefact was made from another training split.

        Args:
            digest: `TrainView.digest` of the split at hand.

        Raises:
            LeakageError: The digests differ.
        """
        if self.train_digest != digest:
            made_from = "nothing recorded" if self.train_digest is None else self.train_digest[:12]
            raise LeakageError(
                f"{self.path} ({self.kind}) was made from training data {made_from}, not {digest[:12]}",
                hint="make it again from this split: what it learnt may contain this split's held-out pairs",
            )


@contextmanager
def write_artifact(
    path: Path,
    kind: str,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
    train_digest: str | None = None,
    facts: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Iterator[Path]:
    """Write an artefact folder so that it is there whole or not at all.

    The body writes its files into the folder that it is given. When it ends, files are hashed, the manifest
    is written, everything is synced and the folder gets its name. When it fails, nothing is left.

    Args:
        path: Where the folder shall be.
        kind: What it holds.
        config: The resolved configuration, as plain JSON values, seed included.
        inputs: Names and digests of the artefacts that it was made from.
        train_digest: Digest of the training view that it was made from.
        facts: What else goes into `run.json`, such as where the data set is.
        force: Replace an artefact that is there.

    Yields:
        A temporary folder beside `path`.

    Raises:
        ArtifactError: `path` exists and `force` is false, or is something that dtlns did not write.
    """
    path = Path(path)
    check_free(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.mkdir()
    started = time.time()
    try:
        yield partial
        manifest = {
            "kind": kind,
            "schema": SCHEMA_VERSION,
            "config": dict(config),
            "inputs": dict(sorted((inputs or {}).items())),
            "train_view": train_digest,
            "versions": {name: version(name) for name in _VERSIONED},
            "files": {
                str(file.relative_to(partial)): file_digest(file)
                for file in sorted(partial.rglob("*"))
                if file.is_file()
            },
        }
        (partial / MANIFEST).write_bytes(_dump(manifest))
        (partial / RUN_LOG).write_bytes(_dump(_run_facts(started) | dict(facts or {})))
        _sync_tree(partial)
        replaced = path.with_name(f".{path.name}.partial-old-{os.getpid()}")
        if path.exists():
            # Out of the way first: deleting it in place could be cut short and leave half of it.
            path.rename(replaced)
        partial.rename(path)
        _sync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@dataclass(frozen=True)
class Spec:
    """What decides the content of an artefact: the same spec gives the same bytes.

    Attributes:
        kind: What the folder holds.
        config: The resolved configuration, as plain JSON values, seed included.
        inputs: Names and digests of the artefacts that it is made from.
        train_digest: Digest of the training view that it is made from.
    """

    kind: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    train_digest: str | None = None

    def describes(self, artifact: Artifact) -> bool:
        """Tell whether an artefact that is there is what this spec would make."""
        manifest = artifact.manifest
        wanted = json.loads(_dump({"config": dict(self.config), "inputs": dict(self.inputs)}))
        return bool(
            manifest["config"] == wanted["config"]
            and manifest["inputs"] == wanted["inputs"]
            and manifest["train_view"] == self.train_digest
        )


def make_artifact(
    path: Path,
    spec: Spec,
    body: Callable[[Path], None],
    *,
    if_exists: IfExists = "error",
    facts: Mapping[str, Any] | None = None,
) -> Artifact:
    """Make an artefact, or take the one that is there when it is the same.

    Args:
        path: Where the folder shall be.
        spec: What decides its content.
        body: Writes the data files into the folder that it is given.
        if_exists: `error`; `replace` it; or `reuse` it when it is whole and has the same spec, and replace
            it otherwise.
        facts: What else goes into `run.json`.

    Returns:
        The verified artefact.

    Raises:
        ArtifactError: Something is there and may not be replaced.
    """
    path = Path(path)
    if if_exists == "reuse" and path.exists():
        try:
            found = open_artifact(path, spec.kind)
        except ArtifactError as error:
            log.warning("%s; making it again", error.what)
        else:
            if spec.describes(found):
                log.info("%s: there and verified", path.name)
                return found
            log.info("%s: made with other settings or inputs; making it again", path.name)
    with write_artifact(
        path,
        spec.kind,
        config=spec.config,
        inputs=spec.inputs,
        train_digest=spec.train_digest,
        facts=facts,
        force=if_exists != "error",
    ) as folder:
        body(folder)
    return open_artifact(path, spec.kind)


def check_free(path: Path, *, force: bool = False) -> None:
    """Raise early when an artefact cannot be written to `path`.

    Args:
        path: Where the folder shall be.
        force: Whether an artefact that is there may be replaced.

    Raises:
        ArtifactError: Something is there and may not be replaced.
    """
    path = Path(path)
    if not path.exists():
        return
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
        return
    if not (path / MANIFEST).is_file():
        raise ArtifactError(
            f"{path} exists and is not something that dtlns wrote", hint="choose another output folder"
        )
    if not force:
        raise ArtifactError(f"{path} exists", hint="choose another output folder, or replace it with --force")


def open_artifact(path: Path, *kinds: str) -> Artifact:
    """Read an artefact's manifest and verify every file against it.

    Args:
        path: The folder.
        kinds: What it must hold, one of these.

    Returns:
        The verified artefact.

    Raises:
        ArtifactError: It is missing, of another kind, of another schema, or a file was changed or cut.
    """
    path = Path(path)
    wanted = " or ".join(repr(kind) for kind in kinds)
    manifest_file = path / MANIFEST
    if not manifest_file.is_file():
        what = "does not exist" if not path.exists() else f"has no {MANIFEST}"
        raise ArtifactError(f"{path} {what}", allowed=f"a folder of kind {wanted} written by dtlns")
    try:
        manifest = json.loads(manifest_file.read_bytes())
        found, schema, files = manifest["kind"], manifest["schema"], manifest["files"]
        _ = manifest["config"], manifest["inputs"], manifest["train_view"], files.items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{manifest_file} is damaged ({error})", hint="make the artefact again"
        ) from error
    if found not in kinds:
        raise ArtifactError(f"{path} holds {found!r}", allowed=f"an artefact of kind {wanted}")
    if schema != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {schema}",
            allowed=f"version {SCHEMA_VERSION}",
            hint="make it again with this version of dtlns",
        )
    for name, digest in files.items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing", hint="make the artefact again")
        if file_digest(file) != digest:
            raise ArtifactError(
                f"{file} was changed or cut after it was written", hint="make the artefact again"
            )
    return Artifact(path, manifest)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hex digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as one safetensors file; the same arrays give the same bytes."""
    path.touch()
    mode = path.stat().st_mode  # what the umask allows: safetensors itself leaves files to their owner alone
    save_file({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}, path)
    path.chmod(mode)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the named arrays of a safetensors file.

    Raises:
        ArtifactError: The file is not whole.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read ({error})", hint="make the artefact again") from error


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys; the file is there whole or not at all."""
    _write_whole(Path(path), _dump(value))


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8; the file is there whole or not at all."""
    _write_whole(Path(path), text.encode())


def _write_whole(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)


def _dump(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _run_facts(started: float) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "wall_seconds": round(time.time() - started, 3),
        "peak_memory_mb": round(peak / 1024, 1),
        "host": platform.node(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        # Results of PyTorch are bit-identical for one thread count only.
        "torch_threads": sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
    }


def _remove_stale(path: Path) -> None:
    """Remove what killed processes left half-written under this name."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        pid = left.name.rpartition("-")[2]
        if not pid.isdigit() or not _alive(int(pid)) or int(pid) == os.getpid():
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
