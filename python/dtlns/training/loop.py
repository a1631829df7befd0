"""One run of an embedding model, epoch by epoch: batches, Adam, validation, checkpoints."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.errors import TrainingError
from dtlns.false_negatives import FalseNegatives
from dtlns.losses.base import Loss
from dtlns.models.base import EmbeddingModel, Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.samplers.base import EpochContext, Sampler
from dtlns.training.batches import Batches
from dtlns.training.checkpoint import CHECKPOINT, LoopState, load_checkpoint, save_checkpoint
from dtlns.training.pairs import Pairs
from dtlns.training.parallel import ALONE, Processes
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import TrainConfig
from dtlns.training.step import TrainStep

_DIVERGED = 100.0  # times the first batch's loss: no schedule or sampler comes near it
Refresh = Callable[[Scorer], FalseNegatives]


class SelectorLike(Protocol):
    """Turns a scorer into one validation number, higher is better; training knows no more of validation."""

    @property
    def name(self) -> str:
        """What the number is called, such as `recall@20`."""
        ...

    @property
    def digest(self) -> str:
        """What the number depends on, so that a run is not continued with another selector."""
        ...

    def __call__(self, scorer: Scorer) -> float:
        """Rate a scorer."""
        ...


@runtime_checkable
class SharedSelector(SelectorLike, Protocol):
    """A selector whose work several processes can share."""

    def part(self, scorer: Scorer, share: Callable[[int], slice]) -> tuple[float, int]:
        """Rate a scorer for a share of the users.

        Args:
            scorer: What is rated.
            share: Which of n users are this process's.

        Returns:
            The sum over those users, and how many they are.
        """
        ...


class Loop:
    """One run of an embedding model.

    Args:
        model: On the device.
        sampler: On the device.
        loss: Rates pairs; None for a model that does it itself.
        train: The training interactions.
        settings: The run.
        false_negatives: Judged pairs, or None.
        refresh: Finds false negatives anew with a scorer, where `settings.refresh_every` asks for it.
        device: Where to train.
        selector: Chooses the epoch.
        processes: Who trains together.
    """

    def __init__(
        self,
        *,
        model: EmbeddingModel,
        sampler: Sampler,
        loss: Loss | None,
        train: TrainView,
        settings: TrainConfig,
        device: torch.device,
        false_negatives: FalseNegatives | None = None,
        refresh: Refresh | None = None,
        selector: SelectorLike | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.train = train
        self.settings = settings
        self.device = device
        self.false_negatives = false_negatives
        self.refresh = refresh
        self.selector = selector
        self.processes = processes
        self.similarity = settings.loss.similarity or ("inner" if loss is None else loss.similarity)
        self.state = LoopState()
        self.best: dict[str, Tensor] = {}
        self.folder: Path | None = None
        self.identity: dict[str, Any] = {}
        self.batches = self._batches()
        self.pairs = 0  # of the last epoch
        self.step: nn.Module = TrainStep(
            model,
            sampler,
            loss,
            similarity=self.similarity,
            l2=settings.l2,
            precision=settings.precision,
            processes=processes.size,
        )
        parameters = [*model.parameters(), *sampler.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
        if settings.compile:
            self.step.compile()
        if processes.size > 1:
            self.step = _shared(self.step, device)

    def keep_at(self, folder: Path, identity: dict[str, Any], *, resume: bool) -> None:
        """Write checkpoints to a folder, and go on from the one that is there or remove it."""
        self.folder, self.identity = folder, identity
        found = None
        if self.processes.first:
            if resume:
                found = load_checkpoint(folder, identity)
            else:
                (folder / CHECKPOINT).unlink(missing_ok=True)
        found = self.processes.from_first(found)
        if found is None:
            return
        tensors, self.state = found
        self._restore(tensors)
        threads = self.state.threads
        if self.device.type == "cpu" and threads != torch.get_num_threads():
            warnings.warn(
                f"the checkpoint was made with {threads} threads, this is {torch.get_num_threads()}: "
                "the result will not be the same to the last bit",
                RuntimeWarning,
                stacklevel=3,
            )

    def run(self, progress: Callable[[Progress], None] | None) -> TrainedModel:
        """Run the epochs that are left."""
        settings, state = self.settings, self.state
        while not state.finished:
            started = time.perf_counter()
            epoch = state.epoch + 1
            loss = self._epoch(epoch)
            seconds = time.perf_counter() - started
            state.epoch = epoch
            record: dict[str, float] = {"epoch": epoch, "loss": loss}
            state.history.append(record)
            last = epoch == settings.epochs
            value = None
            if epoch % settings.validate_every == 0 or last:
                value = self._validate(record)
                state.finished = last or state.strikes >= settings.patience
                if self.folder is not None and self.processes.first:
                    state.threads = torch.get_num_threads()
                    save_checkpoint(self.folder, self._tensors(), state, self.identity)
            if progress is not None and self.processes.first:
                progress(self._progress(loss, value, seconds))
        if self.best:
            self.model.load_state_dict(self.best, strict=False)
        return TrainedModel(
            scorer=self._scorer(),
            best_epoch=state.best_epoch or state.epoch,
            epochs_run=state.epoch,
            metric=None if self.selector is None else self.selector.name,
            best_value=state.best_value,
            history=state.history,
            parameters={name: tensor.detach().cpu() for name, tensor in self.model.named_parameters()},
        )

    def _batches(self) -> Batches:
        pairs = Pairs.build(self.train, self.settings, self.false_negatives)
        return Batches(pairs, self.settings, self.device, self.processes)

    def _epoch(self, epoch: int) -> float:
        """Run one epoch and return its mean loss."""
        self._begin(epoch)
        losses, sizes = [], []
        for drawn in self.batches.epoch(epoch, self.sampler):
            self.optimizer.zero_grad()
            loss = self.step(drawn.context, drawn.prepared, drawn.weights)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
            sizes.append(len(drawn.context.whole_users))
        # looked at once an epoch: a look at each batch would make a GPU wait
        values = self.processes.mean(torch.stack(losses)).cpu().numpy().astype(np.float64)
        self._check(values, epoch)
        self.pairs = int(np.sum(sizes))
        return float(values @ sizes / self.pairs)

    def _begin(self, epoch: int) -> None:
        """Find false negatives anew where it is time, and tell a sampler that has a memory."""
        every = self.settings.refresh_every
        if self.refresh is not None and every and epoch > 1 and (epoch - 1) % every == 0:
            # on GPUs the last bits of the processes differ, and with them the pairs that a judge finds
            self.false_negatives = self.processes.from_first(self.refresh(self._scorer()))
            self.false_negatives.check(self.train)
            self.batches = self._batches()
        if type(self.sampler).begin_epoch is not Sampler.begin_epoch:
            training = self.model.training
            self.model.eval()
            with torch.no_grad():
                users, items = self.model.layers()
            self.model.train(training)
            with torch.no_grad():
                self.sampler.begin_epoch(
                    EpochContext(
                        draws=self.batches.draws(epoch),
                        layers=Layers(users, items),
                        pooling=self.model.pool,
                        similarity=self.similarity,
                        seed=self.settings.seed,
                        epoch=epoch,
                        epochs=self.settings.epochs,
                    )
                )

    def _check(self, losses: np.ndarray[Any, np.dtype[np.float64]], epoch: int) -> None:
        """Raise where a loss is not finite or far above where the run began."""
        where = f"in epoch {epoch}, batch {{}} of {len(losses)}"
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            raise TrainingError(
                f"the loss is {losses[bad[0]]} {where.format(bad[0] + 1)}", hint="use a smaller learning rate"
            )
        if self.state.first_loss is None:
            self.state.first_loss = float(losses[0])
        high = np.flatnonzero(losses > _DIVERGED * (1.0 + abs(self.state.first_loss)))
        if high.size:
            raise TrainingError(
                f"the loss diverges: it is {losses[high[0]]:.4g} {where.format(high[0] + 1)}, "
                f"and was {self.state.first_loss:.4g} in the first of all",
                hint="use a smaller learning rate",
            )

    def _validate(self, record: dict[str, float]) -> float | None:
        """Ask the selector, and keep the embeddings if they are the best so far."""
        scorer, state = self._scorer(), self.state
        if self.selector is None:
            return None
        value = self._select(scorer)
        record[self.selector.name] = value
        if state.best_value is None or value > state.best_value:
            state.best_value, state.best_epoch, state.strikes = value, state.epoch, 0
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        else:
            state.strikes += 1
        return value

    def _select(self, scorer: Scorer) -> float:
        selector = cast("SelectorLike", self.selector)
        if self.processes.size > 1 and isinstance(selector, SharedSelector):
            total, count = self.processes.sum(*selector.part(scorer, self._share_of_users))
            return total / count
        return float(self.processes.from_first(float(selector(scorer))))  # all stop at the same epoch

    def _share_of_users(self, n: int) -> slice:
        """Divide users among the processes; of fewer users than processes, each rates all: the same mean."""
        return self.processes.share(n) if n >= self.processes.size else slice(None)

    def _scorer(self) -> EmbeddingScorer:
        tables = self.model.pooled(self.similarity)
        if not all(bool(torch.isfinite(table).all()) for table in tables):
            raise TrainingError(
                f"an embedding is not finite after epoch {self.state.epoch}",
                hint="use a smaller learning rate",
            )
        # copies: those of MF are its parameters themselves, which go on changing
        return EmbeddingScorer.from_tensors(*(table.clone() for table in tables))

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"sampler.{name}": value for name, value in self.sampler.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in slots.items()}
        if self.settings.refresh_every and self.false_negatives is not None:
            tensors |= _false_negative_tensors(self.false_negatives)
        return tensors

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        names = ("model", "sampler", "best", "adam", "judged")
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.model.load_state_dict(parts["model"])
        self.sampler.load_state_dict(parts["sampler"])
        self.best = {name: value.to(self.device) for name, value in parts["best"].items()}
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["adam"].items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        if parts["judged"]:
            self.false_negatives = _false_negatives(parts["judged"], self.train.n_items)
            self.batches = self._batches()

    def _progress(self, loss: float, value: float | None, seconds: float) -> Progress:
        state, settings = self.state, self.settings
        return Progress(
            epoch=state.epoch,
            epochs=settings.epochs,
            loss=loss,
            metric=None if self.selector is None else self.selector.name,
            value=value,
            best=state.best_value,
            best_epoch=state.best_epoch,
            pairs_per_second=self.pairs / seconds,
            seconds_left=0.0 if state.finished else seconds * (settings.epochs - state.epoch),
        )


def _shared(step: nn.Module, device: torch.device) -> nn.Module:
    """Average gradients over the processes; all of them begin with the same tables and buffers."""
    names = inspect.signature(DistributedDataParallel).parameters
    still = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    told: dict[str, Any] = {still: False, "init_sync": False}
    if device.type == "cuda":
        told["device_ids"] = [device]
    return DistributedDataParallel(step, **told)


def _false_negative_tensors(found: FalseNegatives) -> dict[str, Tensor]:
    return {
        "judged.indptr": torch.from_numpy(found.indptr),
        "judged.indices": torch.from_numpy(found.indices.astype(np.int64)),
        "judged.weights": torch.from_numpy(found.weights),
    }


def _false_negatives(tensors: dict[str, Tensor], n_items: int) -> FalseNegatives:
    return FalseNegatives(
        indptr=tensors["indptr"].numpy(),
        indices=tensors["indices"].numpy().astype(np.uint32),
        weights=tensors["weights"].numpy(),
        n_items=n_items,
    )
