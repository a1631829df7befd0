"""What a run is, for its checkpoint to be recognised by, and what tells two runs apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dtlns.data.views import TrainView
from dtlns.false_negatives import FalseNegatives
from dtlns.training.settings import TrainConfig
from dtlns.trees import PathCodes

if TYPE_CHECKING:
    from dtlns.training.loop import SelectorLike


def run_identity(
    train: TrainView,
    settings: TrainConfig,
    codes: Mapping[str, PathCodes],
    false_negatives: FalseNegatives | None,
    device: torch.device,
    selector: SelectorLike | None,
    start: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Name everything that a run's result depends on, as JSON values.

    The selector counts by its name and by the digest of what it measures: a run that was selected on other
    validation pairs is another run. Training itself is told neither.

    Args:
        train: The training interactions.
        settings: The run's settings.
        codes: Path codes by view name.
        false_negatives: Judged pairs, or None.
        device: Where it runs; the type counts, not the number.
        selector: The selector, or None.
        start: The parameters that it starts from, or None.
    """
    return {
        "train_view": train.digest,
        "settings": settings.model_dump(mode="json"),
        "views": {name: _codes_digest(view) for name, view in sorted(codes.items())},
        "false_negatives": None if false_negatives is None else false_negatives.digest,
        "device": device.type,
        "selector": None if selector is None else f"{selector.name} {selector.digest}",
        "start": None if start is None else _tensors_digest(start),
    }


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Lay out nested tables as one, by dotted places.

    Example:
        >>> flat({"settings": {"seed": 0, "model": {"name": "mf"}}})
        {'settings.seed': 0, 'settings.model.name': 'mf'}
    """
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {
        place: leaf for key, part in value.items() for place, leaf in flat(part, f"{prefix}{key}.").items()
    }


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Name the first places in which two identities differ.

    Args:
        theirs: That of the earlier run, flat.
        ours: That of this one, flat.

    Returns:
        At most three changes and how many more there are; empty where there are none.

    Example:
        >>> differences({"seed": 0, "epochs": 5}, {"seed": 1, "epochs": 5})
        'seed was 0, is 1'
    """
    places = [place for place in sorted(ours.keys() | theirs.keys()) if ours.get(place) != theirs.get(place)]
    changes = "; ".join(f"{place} was {theirs.get(place)}, is {ours.get(place)}" for place in places[:3])
    return changes + (f" (and {len(places) - 3} more)" if len(places) > 3 else "")


def _codes_digest(codes: PathCodes) -> str:
    sha = hashlib.sha256(f"branching {codes.branching}\0".encode())
    sha.update(np.ascontiguousarray(codes.packed).tobytes())
    sha.update(np.ascontiguousarray(codes.depth).tobytes())
    return sha.hexdigest()


def _tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {list(tensor.shape)}\0".encode())
        sha.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return sha.hexdigest()
