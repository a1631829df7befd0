"""One run of an embedding model, epoch by epoch: pairs, negatives, Adam, validation, checkpoints."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dtlns.errors import TrainingError
from dtlns.models.base import Batch, EmbeddingModel, Scorer, gather_rows
from dtlns.models.embedding import EmbeddingScorer
from dtlns.samplers.base import Sampler, SamplingContext
from dtlns.training.checkpoint import CHECKPOINT, LoopState, load_checkpoint, save_checkpoint
from dtlns.training.pairs import Pairs
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import TrainConfig


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


class Loop:
    """One run of an embedding model."""

    def __init__(
        self,
        *,
        model: EmbeddingModel,
        sampler: Sampler,
        pairs: Pairs,
        settings: TrainConfig,
        device: torch.device,
        selector: SelectorLike | None,
    ) -> None:
        self.model = model
        self.sampler = sampler
        self.pairs = pairs
        self.settings = settings
        self.device = device
        self.selector = selector
        self.state = LoopState()
        self.best: dict[str, Tensor] = {}
        self.folder: Path | None = None
        self.identity: dict[str, Any] = {}
        parameters = [*model.parameters(), *sampler.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)

    def keep_at(self, folder: Path, identity: dict[str, Any], *, resume: bool) -> None:
        """Write checkpoints to a folder, and go on from the one that is there or remove it."""
        self.folder, self.identity = folder, identity
        if not resume:
            (folder / CHECKPOINT).unlink(missing_ok=True)
            return
        found = load_checkpoint(folder, identity)
        if found is not None:
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
                if self.folder is not None:
                    state.threads = torch.get_num_threads()
                    save_checkpoint(self.folder, self._tensors(), state, self.identity)
            if progress is not None:
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
        )

    def _epoch(self, epoch: int) -> float:
        """Run one epoch and return its mean loss."""
        order = self.pairs.order(self.settings.seed, epoch)
        size = self.settings.batch_size
        losses = []
        for step, start in enumerate(range(0, len(order), size)):
            self.optimizer.zero_grad()
            loss = self._loss(order[start : start + size], epoch, step)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            losses.append(loss.detach())
        # looked at once an epoch: a look at each batch would make a GPU wait
        values = torch.stack(losses).cpu().numpy().astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise TrainingError(
                f"the loss is {values[bad[0]]} in epoch {epoch}, batch {bad[0] + 1} of {len(values)}",
                hint="use a smaller learning rate",
            )
        sizes = np.full(len(values), size, dtype=np.float64)
        sizes[-1] = len(order) - size * (len(values) - 1)
        return float(values @ sizes / len(order))

    def _loss(self, rows: np.ndarray[Any, np.dtype[np.int64]], epoch: int, step: int) -> Tensor:
        pairs, settings = self.pairs, self.settings
        users_host, items_host = pairs.users[rows], pairs.items[rows]
        users = torch.from_numpy(users_host).to(self.device)
        positives = torch.from_numpy(items_host).to(self.device)
        weights = None if pairs.weights is None else torch.from_numpy(pairs.weights[rows]).to(self.device)
        layers = self.model.layers()
        user_layers = gather_rows(layers.users, users)
        positive_layers = gather_rows(layers.items, positives)
        negatives = self.sampler.sample(
            SamplingContext(
                users=users,
                positives=positives,
                users_host=users_host,
                rows=rows,
                epoch=epoch,
                seed=settings.seed,
                pool=pairs.pool,
                layers=layers,
                user_layers=user_layers,
                positive_layers=positive_layers,
                pooling=self.model.pool,
            )
        )
        loss = self.model.loss(
            Batch(
                users=users,
                positives=positives,
                weights=weights,
                layers=layers,
                user_layers=user_layers,
                positive_layers=positive_layers,
                negative_layers=negatives.embeddings(layers.items),
                log_q=negatives.log_q,
                l2=settings.l2,
                epoch=epoch,
                step=step,
                seed=settings.seed,
            )
        )
        return loss if negatives.auxiliary_loss is None else loss + negatives.auxiliary_loss

    def _validate(self, record: dict[str, float]) -> float | None:
        """Ask the selector, and keep the embeddings if they are the best so far."""
        scorer, state = self._scorer(), self.state
        if self.selector is None:
            return None
        value = float(self.selector(scorer))
        record[self.selector.name] = value
        if state.best_value is None or value > state.best_value:
            state.best_value, state.best_epoch, state.strikes = value, state.epoch, 0
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        else:
            state.strikes += 1
        return value

    def _scorer(self) -> EmbeddingScorer:
        users, items = (table.cpu().numpy() for table in self.model.pooled())
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise TrainingError(
                f"an embedding is not finite after epoch {self.state.epoch}",
                hint="use a smaller learning rate",
            )
        return EmbeddingScorer(users, items)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"sampler.{name}": value for name, value in self.sampler.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in slots.items()}
        return tensors

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "sampler": {}, "best": {}, "adam": {}}
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
            pairs_per_second=len(self.pairs) / seconds,
            seconds_left=0.0 if state.finished else seconds * (settings.epochs - state.epoch),
        )
