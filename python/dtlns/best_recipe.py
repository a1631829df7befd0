"""The stage graph of `dtlns run --recipe best`: a host, what false negatives do for it, and a prior.

Everything up to the false negatives is made of the training split. The plain host is trained first. From it
each arm, a way to use the false negatives, is tried for a few epochs, and so is training on without any; the
best arm goes on from there in smaller steps, if it is better than both. Validation chooses arm, epoch and
weight of the prior.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact
from dtlns.config import Arm, BestConfig
from dtlns.data.dataset import Dataset
from dtlns.errors import ConfigError
from dtlns.evaluation.protocol import evaluate
from dtlns.evaluation.selector import Selector
from dtlns.lock import alone
from dtlns.models.registry import load_scorer
from dtlns.pipeline import check_place, finish, prepare_data, relative
from dtlns.rehearsal import rehearse, rehearse_training
from dtlns.run_report import withdraw_report
from dtlns.stages.candidates import hide_rule
from dtlns.stages.prior import WEIGHTS, chosen_weight, write_prior_alone, write_with_prior
from dtlns.stages.selection import select_false_negatives
from dtlns.stages.training import write_model
from dtlns.stages.upstream import Upstream
from dtlns.training.progress import Progress
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.streams import derive

Rows = dict[str, tuple[str, Artifact]]  # title and model, by name
SMALLER = 0.25  # the step size of what goes on; an arm's epochs are small samples, which full steps follow
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
    host = config.train
    for place, value, wanted, why in (
        ("train.false_negatives", host.false_negatives, "ignore", "arms say what is done with them"),
        ("train.refresh_every", host.refresh_every, 0, "false negatives are found once"),
        ("train.tune", host.tune, False, "the arms are what is chosen"),
        ("train.sampler.multi_view", host.sampler.multi_view, False, "the trees are features here"),
        ("calibration.users", config.calibration.users, None, "no judge is asked"),
    ):
        if value != wanted:
            raise ConfigError(
                f"{place} = {value!r} in the recipe best", allowed=str(wanted).lower(), hint=why
            )
    names = [arm.name for arm in config.arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"the arm {twice} is there twice", hint="leave one out, or change it")
    Selector.parse(config.metric)
    rehearse(config.pretrain, [], [(config.train, config.trees)])
    for arm in config.arms:
        try:
            rehearse_training(with_arm(config.train, arm), config.trees.views, config.trees.branching)
        except ConfigError as error:
            raise ConfigError(
                f"the arm {arm.name} does not fit the host: {error.what}",
                allowed=error.allowed,
                hint="give arms of your own: [[arms]], a temperature only where the host's loss has one",
            ) from error
    with alone(out):
        return _Run(config, out, base or Path(), device, progress).run()


def with_arm(host: TrainConfig, arm: Arm, size: float = 1.0) -> TrainConfig:
    """Return the host's settings with an arm: false negatives by chance, and its temperature.

    Args:
        host: The plain host.
        arm: How false negatives are used.
        size: Pairs in an epoch with the arm, by those without. Epochs are so many more that there are as many
            pairs in all, and in each of the times between two validations.
    """
    changes: dict[str, Any] = {
        "false_negatives": "sampled",
        "observed": arm.observed,
        "epochs": math.ceil(host.epochs / size),
        "validate_every": math.ceil(host.validate_every / size),
    }
    if arm.temperature is not None:
        told = host.loss.options | {"temperature": arm.temperature}
        changes["loss"] = host.loss.model_copy(update={"options": told})
    return host.model_copy(update=changes)


def on_trial(config: BestConfig) -> TrainConfig:
    """Return the host's settings in a trial, the same random numbers for all that is tried."""
    host = config.train
    epochs = max(1, round(config.trial * host.epochs))
    return host.model_copy(update={"seed": derive(host.seed, "trial") >> 1, "epochs": epochs})


def going_on(config: BestConfig) -> TrainConfig:
    """Return the host's settings after a trial: smaller steps, and random numbers of their own."""
    host = config.train
    return host.model_copy(
        update={
            "seed": derive(host.seed, "finish") >> 1,
            "epochs": max(1, round(config.finish * host.epochs)),
            "learning_rate": SMALLER * host.learning_rate,
        }
    )


def better(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether a model is better than another by more than the standard error of their difference.

    Args:
        one: float64 [B], a metric of each user under the model.
        other: float64 [B], the same under the other one.
    """
    difference = one - other
    error = difference.std(ddof=1) / math.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > error)


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
        self.facts = {"dataset": relative(self.data.path, out / "models" / "any")}
        name, k = Selector.parse(config.metric)
        self.metric = f"{name}@{k}"
        self.measured: dict[Path, NDArray[np.float64]] = {}
        self.why: list[str] = []

    def run(self) -> dict[str, Any]:
        withdraw_report(self.out)
        config = self.config
        upstream = Upstream(self.out, self.data, config, device=self.device, progress=self.progress)
        by = config.calibration.by
        rule = hide_rule(self.data) if by == "auto" else by
        # the latest ones are the same each time
        hidings = config.hidings if rule == "random" else 1
        found = upstream.found(config.trees if config.use_trees else None, hidings)

        rows = self._hosts(found)
        best = "host" if "host" in rows else "longer" if self._wins(rows, "longer", "plain") else "plain"
        for name in dict.fromkeys(("longer" if best == "longer" else "plain", best)):
            title, model = rows[name]
            rows[f"{name}-prior"] = (f"{title} + prior", self._with_prior(f"{name}-prior", model, found))
        chosen = max(rows, key=lambda name: self._mean(rows[name][1]))  # the simplest of equal ones
        self._explain(rows, chosen)
        prior = write_prior_alone(
            self.out / "models" / "prior", found, self.data, facts=self.facts, if_exists="reuse"
        )
        rows["prior"] = ("prior alone", prior)
        for name, title in (("popularity", "popularity"), ("itemknn", "ItemKNN (cosine), not tuned")):
            simple = TrainConfig(model=ModelConfig(name=name), sampler=SamplerConfig(name="uniform"))
            rows[name] = (title, self._train(name, simple))
        return finish(
            config,
            self.data,
            list(rows.values()),
            self.out,
            self.base,
            metric=self.metric,
            choose=lambda entries: self._choose(rows[chosen][1], entries),
            why=self.why,
            calibration=None,
        )

    def _name(self, arm: Arm | None) -> str:
        train = self.config.train
        host = f"{train.model.name}, {train.sampler.name}"
        if arm is None:
            return host
        how = f"weight {arm.weight:g}" if arm.weight is not None else f"c = {arm.scale:g}"
        observed = "" if arm.observed == 1 else f", observed {arm.observed:g}"
        temperature = "" if arm.temperature is None else f", temperature {arm.temperature:g}"
        return f"{host} + best {arm.top} false negatives, {how}{observed}{temperature}"

    def _size(self, arm: Arm, found: Artifact) -> float:
        """Return how many pairs an epoch has with an arm, by those without."""
        train = self.data.train
        pairs = select_false_negatives(found, train.n_users, train.n_items, "sampled", arm.selection)
        size = arm.observed + float(pairs.weights.sum()) / train.n_interactions
        return max(size, min(1.0, self.config.train.batch_size / train.n_interactions))  # one step at least

    def _train(
        self,
        name: str,
        settings: TrainConfig,
        found: Artifact | None = None,
        arm: Arm | None = None,
        start: Artifact | None = None,
    ) -> Artifact:
        log.info("training: %s", name)
        return write_model(
            self.out / "models" / name,
            self.data,
            settings,
            judged=found,
            selection=None if arm is None else arm.selection,
            start=start,
            metric=self.metric,
            facts=self.facts,
            device=self.device,
            if_exists="reuse",
            resume=True,
            progress=self.progress,
        )

    def _hosts(self, found: Artifact) -> Rows:
        """Train the plain host, let it go on, try the arms, and let the best one go on where it wins."""
        config, host = self.config, self.config.train
        plain = self._train("plain", host)
        rows: Rows = {"plain": (self._name(None), plain)}
        there = on_trial(config)
        # What more epochs alone would do: without it, they would pass for the work of false negatives.
        longer = self._train("longer", there, start=plain)
        rows["longer"] = (f"{self._name(None)}, trained on", longer)
        tried = {
            arm.name: (
                arm,
                self._train(arm.name, with_arm(there, arm, self._size(arm, found)), found, arm, plain),
            )
            for arm in config.arms
        }
        values = {name: self._mean(model) for name, (_, model) in tried.items()}
        told = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.why.append(
            f"validation {self.metric}: plain {self._mean(plain):.4f}; after as many pairs as {there.epochs} "
            f"epochs more have without false negatives {self._mean(longer):.4f}, with {told}"
        )
        arm, model = tried[max(values, key=lambda name: values[name])]
        if not all(better(self._users(model), self._users(other)) for other in (plain, longer)):
            self.why.append("training with false negatives is not better than without by more than its error")
            return rows
        rest = with_arm(going_on(config), arm, self._size(arm, found))
        went_on = self._train("host", rest, found, arm, model)
        kept = max((went_on, model), key=self._mean)
        rows["host"] = (self._name(arm), kept)
        stays = "" if kept is went_on else ", which is less: it stays as it was"
        self.why.append(f"{arm.name} goes on to {self._mean(went_on):.4f}{stays}")
        return rows

    def _explain(self, rows: Rows, chosen: str) -> None:
        """Say what the rows are worth on validation, and which one was taken."""
        for name in rows:
            if name.endswith("-prior"):
                weight = chosen_weight(rows[name][1], self.metric)
                at_end = ", the last of the grid" if weight == WEIGHTS[-1] else ""
                self.why.append(
                    f"{rows[name][0]}: {self._mean(rows[name][1]):.4f}, the prior's weight being {weight:g} "
                    f"times the host's own spread{at_end}"
                )
        self.why.append(
            f"chosen: {rows[chosen][0]}, the best on validation, {self._mean(rows[chosen][1]):.4f}"
        )

    def _choose(self, chosen: Artifact, entries: list[dict[str, Any]]) -> str:
        """Return the chosen model's folder; say which rows that only stand beside it are better."""
        folder = str(chosen.path.relative_to(self.out))
        values = {entry["folder"]: entry["result"]["valid"][self.metric] for entry in entries}
        ahead = [entry for entry in entries if values[entry["folder"]] > values[folder]]
        if ahead:
            told = ", ".join(f"{entry['name']} {values[entry['folder']]:.4f}" for entry in ahead)
            self.why.append(f"better on validation, but not to be chosen by this recipe: {told}")
        return folder

    def _wins(self, rows: Rows, one: str, other: str) -> bool:
        return better(self._users(rows[one][1]), self._users(rows[other][1]))

    def _mean(self, model: Artifact) -> float:
        return float(self._users(model).mean())

    def _with_prior(self, name: str, model: Artifact, found: Artifact) -> Artifact:
        return write_with_prior(
            self.out / "models" / name,
            model,
            found,
            self.data,
            metric=self.metric,
            facts=self.facts,
            if_exists="reuse",
        )

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
