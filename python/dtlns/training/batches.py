"""The batches of an epoch: shuffled, shared among processes, and drawn for ahead of the step."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dtlns.draws import Draws, draws_on
from dtlns.errors import InputError
from dtlns.samplers.base import DrawContext, Prepared, Sampler
from dtlns.training.pairs import Pairs
from dtlns.training.parallel import ALONE, Processes
from dtlns.training.settings import TrainConfig


@dataclass(frozen=True, eq=False)
class Drawn:
    """One batch, ready for the step.

    Attributes:
        context: Its pairs.
        prepared: What the sampler made of them.
        weights: float32 [B], or None for ones.
    """

    context: DrawContext
    prepared: Prepared
    weights: Tensor | None


class Batches:
    """All pairs on the device, and the batches of each epoch.

    On a GPU the order of an epoch is the one thing that is sent there, before its first batch. On the CPU the
    sampler prepares a batch in a thread while the step before it computes.

    Args:
        pairs: Positive pairs, in global row order.
        settings: `batch_size`, `seed` and `epochs` are read.
        device: Where training runs.
        processes: Who shares the batches.

    Raises:
        InputError: On a GPU, a user of the pairs has nothing left to draw; see `Draws`.
    """

    def __init__(
        self, pairs: Pairs, settings: TrainConfig, device: torch.device, processes: Processes = ALONE
    ) -> None:
        self.pairs = pairs
        self.settings = settings
        self.processes = processes
        if device.type != "cpu":
            _check_left(pairs)
        self.device = device
        self._draws: tuple[int, Draws] | None = None  # and their epoch
        self.users = torch.from_numpy(pairs.users).to(device)
        self.items = torch.from_numpy(pairs.items).to(device)
        # a copy: what is read from a file may not be writable, of which PyTorch warns
        self.weights = None if pairs.weights is None else torch.tensor(pairs.weights, device=device)

    def draws(self, epoch: int) -> Draws:
        """Return exact draws of an epoch's negatives."""
        known = self._draws
        if known is None or (known[0] != epoch and self.pairs.avoided is not None):
            pool = self.pairs.negatives(self.settings.seed, epoch)
            self._draws = known = epoch, draws_on(pool, self.device)
        return known[1]

    def epoch(self, epoch: int, sampler: Sampler) -> Iterator[Drawn]:
        """Return an epoch's batches, this process's share of each."""
        draws = self.draws(epoch)
        order = torch.from_numpy(self.pairs.order(self.settings.seed, epoch)).to(self.users.device)
        batches = -(-len(order) // self.settings.batch_size)

        def prepare(number: int) -> Drawn:
            whole = order[number * self.settings.batch_size :][: self.settings.batch_size]
            return self._drawn(whole, epoch, number, sampler, draws)

        if self.users.is_cuda:
            yield from map(prepare, range(batches))
            return
        with ThreadPoolExecutor(1, thread_name_prefix="dtlns-draws") as ahead:
            following = ahead.submit(prepare, 0)
            for number in range(1, batches):
                ready = following.result()
                following = ahead.submit(prepare, number)
                yield ready
            yield following.result()

    def _drawn(self, whole: Tensor, epoch: int, number: int, sampler: Sampler, draws: Draws) -> Drawn:
        whole_users, whole_positives = self.users[whole], self.items[whole]
        users, positives, rows = whole_users, whole_positives, whole
        if self.processes.size > 1:
            share = self.processes.share(len(whole))
            users, positives, rows = whole_users[share], whole_positives[share], whole[share]
        context = DrawContext(
            users=users,
            positives=positives,
            rows=rows,
            whole_users=whole_users,
            whole_positives=whole_positives,
            whole_weights=None if self.weights is None else self.weights[whole],
            draws=draws,
            seed=self.settings.seed,
            epoch=epoch,
            epochs=self.settings.epochs,
            number=number,
        )
        with torch.no_grad():
            prepared = sampler.prepare(context)
        return Drawn(context, prepared, None if self.weights is None else self.weights[rows])


def _check_left(pairs: Pairs) -> None:
    """Say once, before a run, what the core says with each draw."""
    full = np.flatnonzero(pairs.pool.available(pairs.users) == 0)
    if full.size:
        raise InputError(
            f"user {pairs.users[full[0]]} has no item left to draw as a negative",
            hint="leave out users who have everything, or take fewer false negatives",
        )
