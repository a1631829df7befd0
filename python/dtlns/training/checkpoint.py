"""A training run on disk: one safetensors file, tensors and a JSON header, replaced in one step."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dtlns.errors import CheckpointError
from dtlns.training.identity import differences, flat

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


@dataclass
class LoopState:
    """Where the loop stands; all random numbers are keyed, so nothing about generators is in it.

    Attributes:
        epoch: Epochs done.
        best_epoch: Epoch of the best validation, or None.
        best_value: Its value.
        strikes: Validations since then.
        first_loss: The first batch's loss, against which divergence is seen.
        finished: Whether the loop is over.
        threads: Threads of PyTorch when the checkpoint was made.
        history: One record per epoch: epoch, loss, and the selector's number where there is one.
    """

    epoch: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    strikes: int = 0
    first_loss: float | None = None
    finished: bool = False
    threads: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path, tensors: dict[str, Tensor], state: LoopState, identity: dict[str, Any]
) -> None:
    """Write a checkpoint and `metrics.jsonl`; a kill at any moment leaves the old one or the new one.

    Args:
        folder: Created where it is missing.
        tensors: Everything that the run needs to go on.
        state: Where the loop stands.
        identity: What the run is; `load_checkpoint` compares it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # copies, since the format refuses two tensors of one storage, which a model may have (tied weights)
    ready = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in sorted(tensors.items())
    }
    header = {"state": asdict(state), "identity": identity, "digest": _digest(ready)}
    metadata = {"dtlns": json.dumps(header, sort_keys=True, allow_nan=False)}
    partial = folder / f".{CHECKPOINT}.partial"
    save_file(ready, partial, metadata=metadata)
    _replace(partial, folder / CHECKPOINT)
    write_metrics(folder, state.history)


def write_metrics(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write `metrics.jsonl`, one line per epoch or trial, the same bytes for the same run."""
    partial = folder / f".{METRICS}.partial"
    partial.write_text("".join(json.dumps(record) + "\n" for record in history), encoding="utf-8")
    _replace(partial, folder / METRICS)


def load_checkpoint(folder: Path, identity: dict[str, Any]) -> tuple[dict[str, Tensor], LoopState] | None:
    """Read a checkpoint.

    Args:
        folder: Where `save_checkpoint` wrote.
        identity: What the run that wants to go on is.

    Returns:
        Tensors and state, or None where there is no checkpoint.

    Raises:
        CheckpointError: The checkpoint is damaged, or belongs to another run.
    """
    path = Path(folder) / CHECKPOINT
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["dtlns"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        state, digest = LoopState(**header["state"]), header["digest"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error})", hint="train again without --resume"
        ) from error
    if _digest(tensors) != digest:
        raise CheckpointError(f"{path} was changed after it was written", hint="train again without --resume")
    changes = differences(flat(header["identity"]), flat(identity))
    if changes:
        raise CheckpointError(
            f"{path} belongs to another run: {changes}",
            hint="resume with the settings and data that it was started with, or train without --resume",
        )
    return tensors, state


def _digest(tensors: dict[str, Tensor]) -> str:
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _replace(partial: Path, final: Path) -> None:
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(final)
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
