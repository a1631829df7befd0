"""Several processes that train one model, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: Its number.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and talks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's part of n things: contiguous, and sizes that differ by at most one."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def mean(self, values: Tensor) -> Tensor:
        """Average over the processes."""
        return values if self.size == 1 else self._sum(values) / self.size

    def sum(self, *numbers: float) -> tuple[float, ...]:
        """Add up over the processes, in float64."""
        if self.size == 1:
            return numbers
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = self._sum(torch.tensor(numbers, dtype=torch.float64, device=device))
        return tuple(total.tolist())

    def from_first(self, value: Any) -> Any:
        """Return what the first process has."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def _sum(self, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total


ALONE = Processes()


def launched() -> bool:
    """Tell whether `torchrun` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Tell whether this process is the one that writes: alone, or the first that `torchrun` started."""
    return not launched() or os.environ.get("RANK", "0") == "0"


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Join the other processes of `torchrun`, if there are any: nccl on GPUs, gloo on CPUs.

    Args:
        device: Where this process computes.
    """
    if not launched():
        yield ALONE
        return
    on_gpus = device.type == "cuda"
    if on_gpus:
        torch.cuda.set_device(device)  # nccl takes the current one for what it sends, such as a checkpoint
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group("nccl" if on_gpus else "gloo")
    failed = True
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
        failed = False
    finally:
        # after an error nccl would wait for the others, who wait for this process: `torchrun` ends them
        if ours and not (failed and on_gpus):
            dist.destroy_process_group()
