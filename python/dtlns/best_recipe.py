"""The stage graph of `dtlns run --recipe best`: a host, what false negatives do for it, and a prior.

Everything up to the false negatives is made of the training split. The plain host is trained first. From it
each arm, a way to use the false negatives, is tried for a few epochs, and so is training on without any; the
best arm goes on from there in smaller steps, if it is better than both. Validation chooses arm, epoch and
weight of the prior.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.arms import better, check_best, going_on, on_trial, size_of, title_of, with_arm
from dtlns.artifacts import Artifact
from dtlns.config import Arm, BestConfig
from dtlns.data.dataset import Dataset
from dtlns.errors import DataError, OutOfMemoryError, TrainingError
from dtlns.evaluation.protocol import evaluate
from dtlns.evaluation.selector import Selector
from dtlns.idle import refuse_weights
from dtlns.lock import alone
from dtlns.models.registry import load_scorer
from dtlns.pipeline import check_place, finish, prepare_data, relative
from dtlns.run_report import withdraw_models, withdraw_report
from dtlns.stages.candidates import hide_rule
from dtlns.stages.prior import WEIGHTS, chosen_weight, write_prior_alone, write_with_prior
from dtlns.stages.training import write_model
from dtlns.stages.upstream import Upstream
from dtlns.training.progress import Progress
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

Rows = dict[str, tuple[str, Artifact]]  # title and model, by name
log = logging.getLogger(__name__)


def run_best(
    config: BestConfig,
    out: Path,
    *,
    base: Path | None = None,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Run the recommended recipe, and leave a folder that explains itself.

    Args:
        config: The run.
        out: The run's folder; what is there already and still right is kept.
        base: Folder that a relative `config.data` starts from; the working directory by default.
        device: Where to train.
        progress: Called after each epoch of each model.

    Returns:
        What `results.json` holds: one entry per row, which row validation chose, and why.

    Raises:
        ConfigError: A name is unknown, settings do not fit together, or another process works in the
            folder; told before any work.
    """
    check_place(out)
    check_best(config)
    with alone(out):
        return _Run(config, out, base or Path(), device, progress).run()


class _Run:
    def __init__(
        self,
        config: BestConfig,
        out: Path,
        base: Path,
        device: str,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.config, self.out, self.base = config, out, base
        self.device, self.progress = device, progress
        self.data: Dataset = prepare_data(config.data, config.split, out, base)
        self.facts = {"dataset": relative(self.data.path, out / "models" / "any"), "recipe": config.recipe}
        name, k = Selector.parse(config.metric)
        Selector.check(config.metric, self.data.train.n_items)
        refuse_weights(self.data.train, config.pretrain, config.train)
        self.metric = f"{name}@{k}"
        self.measured: dict[Path, NDArray[np.float64]] = {}
        self.found: Artifact | None = None
        self.made: set[Path] = set()
        self.why: list[str] = []

    def run(self) -> dict[str, Any]:
        withdraw_report(self.out)
        self.found = self._find()
        rows = self._hosts()
        if self.found is not None:
            rows |= self._priors(rows, self.found)
        for name, title in (("popularity", "popularity"), ("itemknn", "ItemKNN (cosine), not tuned")):
            simple = TrainConfig(model=ModelConfig(name=name), sampler=SamplerConfig(name="uniform"))
            rows[name] = (title, self._train(name, simple))
        chosen = max(rows, key=lambda name: self._mean(rows[name][1]))  # the first of equal ones
        title, model = rows[chosen]
        self.why.append(f"chosen: {title}, the best of all rows on validation, {self._mean(model):.4f}")
        withdraw_models(self.out, self.config.recipe, self.made)
        return finish(
            self.config,
            self.data,
            list(rows.values()),
            self.out,
            self.base,
            metric=self.metric,
            choose=lambda _: str(model.path.relative_to(self.out)),
            why=self.why,
            calibration=None,
        )

    def _find(self) -> Artifact | None:
        """Find false negatives; None, and why, where too few positives can be hidden to learn from."""
        config = self.config
        upstream = Upstream(self.out, self.data, config, device=self.device, progress=self.progress)
        by = config.calibration.by
        rule = hide_rule(self.data) if by == "auto" else by
        # the latest ones are the same each time
        hidings = config.hidings if rule == "random" else 1
        try:
            return upstream.found(config.trees if config.use_trees else None, hidings)
        except DataError as error:  # all that these stages find wrong with data
            needed = "" if error.allowed is None else f" ({error.allowed} are needed)"
            self.why.append(f"no model of false negatives, and so no prior: {error.what}{needed}")
            return None

    def _hosts(self) -> Rows:
        """Train the plain host, let it go on, try the arms, and let the best one go on where it wins."""
        config, host = self.config, self.config.train
        plain = self._train("plain", host)
        rows: Rows = {"plain": (title_of(host), plain)}
        there, after = on_trial(config), []
        # What more epochs alone would do: without it, they would pass for the work of false negatives.
        longer = self._try("longer", "training on without false negatives", there, plain)
        if longer is not None:
            rows["longer"] = (f"{title_of(host)}, trained on", longer)
            after.append(f"without false negatives {self._mean(longer):.4f}")
        tried: dict[str, tuple[Arm, Artifact]] = {}
        for arm in config.arms if self.found is not None else ():
            model = self._try(arm.name, arm.name, there, plain, arm)
            if model is not None:
                tried[arm.name] = arm, model
        values = {name: self._mean(model) for name, (_, model) in tried.items()}
        if values:
            after.append("with " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))
        more = f"; after as many pairs as {there.epochs} epochs more have " if after else ""
        self.why.append(f"validation {self.metric}: plain {self._mean(plain):.4f}{more}{', '.join(after)}")
        if not tried:
            return rows
        arm, model = tried[max(values, key=lambda name: values[name])]
        if not all(better(self._users(model), self._users(other)) for _, other in rows.values()):
            self.why.append("training with false negatives is not better than without by more than its error")
            return rows
        rows["host"] = (title_of(host, arm), self._go_on(arm, model))
        return rows

    def _go_on(self, arm: Arm, model: Artifact) -> Artifact:
        """Let the best arm go on, and return what validation likes better, before or after."""
        went_on = self._try("host", f"{arm.name}, going on,", going_on(self.config), model, arm)
        if went_on is None:
            return model
        kept = max((went_on, model), key=self._mean)
        stays = "" if kept is went_on else ", which is less: it stays as it was"
        self.why.append(f"{arm.name} goes on to {self._mean(went_on):.4f}{stays}")
        return kept

    def _priors(self, rows: Rows, found: Artifact) -> Rows:
        """Add the prior to the plain host, or where it is better the one trained on, and to the best one."""
        users = {name: self._users(model) for name, (_, model) in rows.items()}
        if "host" in rows:
            names = ["plain", "host"]
        else:
            names = ["longer" if "longer" in rows and better(users["longer"], users["plain"]) else "plain"]
        priors: Rows = {}
        for name in names:
            title, host = rows[name]
            model = self._kept(write_with_prior, f"{name}-prior", host, found, self.data, metric=self.metric)
            priors[f"{name}-prior"] = (f"{title} + prior", model)
            weight = chosen_weight(model, self.metric)
            at_end = ", the last of the grid" if weight == WEIGHTS[-1] else ""
            self.why.append(
                f"{title} + prior: {self._mean(model):.4f}, the prior's weight being {weight:g} "
                f"times the host's own spread{at_end}"
            )
        priors["prior"] = ("prior alone", self._kept(write_prior_alone, "prior", found, self.data))
        return priors

    def _train(
        self, name: str, settings: TrainConfig, start: Artifact | None = None, arm: Arm | None = None
    ) -> Artifact:
        log.info("training: %s", name)
        return self._kept(
            write_model,
            name,
            self.data,
            settings,
            judged=self.found,
            selection=None if arm is None else arm.selection,
            start=start,
            metric=self.metric,
            device=self.device,
            resume=True,
            progress=self.progress,
        )

    def _try(
        self, name: str, title: str, settings: TrainConfig, start: Artifact, arm: Arm | None = None
    ) -> Artifact | None:
        """Train from a model on; None, and why, where the loss diverges."""
        if arm is not None and self.found is not None:
            settings = with_arm(settings, arm, size_of(arm, settings, self.found, self.data.train))
        try:
            return self._train(name, settings, start, arm)
        except OutOfMemoryError:  # which is no arm's fault
            raise
        except TrainingError as error:
            shutil.rmtree(self.out / "models" / f"{name}.checkpoint", ignore_errors=True)
            self.why.append(f"{title} is out of the race: {error.what}")
            return None

    def _kept(self, write: Callable[..., Artifact], name: str, *inputs: Any, **more: Any) -> Artifact:
        """Write a model of this run, or take it where it is there."""
        model = write(self.out / "models" / name, *inputs, facts=self.facts, if_exists="reuse", **more)
        self.made.add(model.path)
        return model

    def _mean(self, model: Artifact) -> float:
        return float(self._users(model).mean())

    def _users(self, model: Artifact) -> NDArray[np.float64]:
        """Return the metric of each validation user."""
        if model.path not in self.measured:
            assert self.data.valid is not None
            name, k = Selector.parse(self.metric)
            scorer = load_scorer(model.path)
            result = evaluate(
                scorer, self.data.train, self.data.valid, ks=[k], metrics=[name], device=self.device
            )
            self.measured[model.path] = result.per_user[self.metric]
        return self.measured[model.path]
