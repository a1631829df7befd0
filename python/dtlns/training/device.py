"""Where training runs."""

from __future__ import annotations

import os

import torch

from dtlns.errors import ConfigError


def resolve_device(name: str = "auto") -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device that is there.

    Args:
        name: `auto` takes a CUDA device where there is one, else the CPU. `auto` and `cuda` mean the first
            one, or in a process of `torchrun` the one of its local rank.

    Raises:
        ConfigError: The device is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}", allowed="auto, cpu, cuda, cuda:0 …") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not supported", allowed="auto, cpu, cuda, cuda:0 …")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name!r} is not there",
            allowed=f"cpu, or one of {torch.cuda.device_count()} CUDA devices",
            hint="use --device auto",
        )
    return device
