"""The stage graph of `dtlns run --recipe best`: a host, what false negatives do for it, and a prior.

Everything up to the false negatives is made of the training split. The plain host is trained first. From it
each arm, a way to use the false negatives, is tried for a few epochs; the best one goes on. Validation
chooses arm, epoch and weight of the prior, and keeps the plain host where nothing else is better.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, write_json
from dtlns.config import Arm, BestConfig, SelectionConfig, TreesConfig
from dtlns.data.bundled import PREFIX
from dtlns.data.dataset import Dataset
from dtlns.errors import ConfigError
from dtlns.evaluation.protocol import evaluate
from dtlns.evaluation.selector import Selector
from dtlns.lock import alone
from dtlns.models.registry import load_scorer
from dtlns.pipeline import prepare_data, relative
from dtlns.rehearsal import rehearse
from dtlns.run_report import write_report
from dtlns.stages.candidates import hide_rule
from dtlns.stages.evaluation import evaluate_model
from dtlns.stages.prior import chosen_weight, write_prior_alone, write_with_prior
from dtlns.stages.training import write_model
from dtlns.stages.upstream import Upstream
from dtlns.training.progress import Progress
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

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
    if (out / "manifest.json").exists():
        raise ConfigError(f"{out} holds a data set or an artefact", hint="choose a folder for the run alone")
    if config.train.false_negatives != "ignore":
        raise ConfigError(
            f"train.false_negatives = {config.train.false_negatives!r}",
            allowed="'ignore' for the host; `arms` say what is done with false negatives",
        )
    Selector.parse(config.metric)
    trees = config.trees or TreesConfig()
    trained = [config.train, *(with_arm(config.train, arm, 1) for arm in config.arms)]
    rehearse(config.pretrain, [], [(settings, trees) for settings in trained])
    with alone(out):
        return _Run(config, out, base or Path(), device, progress).run()


def with_arm(host: TrainConfig, arm: Arm, epochs: int) -> TrainConfig:
    """Return the host's settings with an arm: false negatives by chance, and its temperature.

    Args:
        host: The plain host.
        arm: How false negatives are used.
        epochs: Bound.
    """
    changes: dict[str, Any] = {"false_negatives": "sampled", "epochs": epochs}
    if arm.temperature is not None:
        told = host.loss.options | {"temperature": arm.temperature}
        changes["loss"] = host.loss.model_copy(update={"options": told})
    return host.model_copy(update=changes)


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
        if self.data.valid is None:
            raise ConfigError(f"{self.data.path} has no validation split to choose on")
        self.facts = {"dataset": relative(self.data.path, out / "models" / "any")}
        self.why: list[str] = []

    def run(self) -> dict[str, Any]:
        config = self.config
        upstream = Upstream(self.out, self.data, config, device=self.device, progress=self.progress)
        hidings = config.hidings if hide_rule(self.data) == "random" else 1
        found = upstream.found(config.trees or None, hidings, config.calibration.seed)

        plain = self._train("plain", config.train)
        host = self._with_arms(plain, found)
        rows = {"plain": (self._name(None), plain)}
        if host is not None:
            arm, model = host
            rows["host"] = (self._name(arm), model)
        best = "host" if host is not None else "plain"
        for name in dict.fromkeys(("plain", best)):
            title, model = rows[name]
            rows[f"{name}-prior"] = (f"{title} + prior", self._with_prior(f"{name}-prior", model, found))
        alone_ = write_prior_alone(
            self.out / "models" / "prior", found, self.data, facts=self.facts, if_exists="reuse"
        )
        rows["prior"] = ("prior alone", alone_)
        weight = chosen_weight(rows[f"{best}-prior"][1], config.metric)
        chosen = f"{best}-prior" if weight > 0 else best
        self.why.append(
            f"the prior's weight is {weight:g} times the host's own spread"
            if weight > 0
            else "the prior makes validation no better and is left out"
        )
        for name, title in (("popularity", "popularity"), ("itemknn", "ItemKNN (cosine)")):
            simple = TrainConfig(model=ModelConfig(name=name), sampler=SamplerConfig(name="uniform"))
            rows[name] = (title, self._train(name, simple))
        return self._results(rows, chosen, found)

    def _name(self, arm: Arm | None) -> str:
        train = self.config.train
        host = f"{train.model.name}, {train.sampler.name}"
        if arm is None:
            return host
        how = f"weight {arm.weight:g}" if arm.weight is not None else f"c = {arm.scale:g}"
        return f"{host} + best {arm.top} false negatives, {how}"

    def _train(
        self,
        name: str,
        settings: TrainConfig,
        found: Artifact | None = None,
        arm: Arm | None = None,
        start: Artifact | None = None,
    ) -> Artifact:
        log.info("training: %s", name)
        selection = None
        if arm is not None:
            selection = SelectionConfig(top=arm.top, scale=arm.scale, weight=arm.weight)
        return write_model(
            self.out / "models" / name,
            self.data,
            settings,
            judged=found,
            selection=selection,
            start=start,
            metric=self.config.metric,
            facts=self.facts,
            device=self.device,
            if_exists="reuse",
            resume=True,
            progress=self.progress,
        )

    def _with_arms(self, plain: Artifact, found: Artifact) -> tuple[Arm, Artifact] | None:
        """Try the arms, let the best one go on, and return it where it is better than the plain host."""
        config = self.config
        trial = max(1, round(config.trial * config.train.epochs))
        tried = [
            (arm, self._train(arm.name, with_arm(config.train, arm, trial), found, arm, plain))
            for arm in config.arms
        ]
        values = [self._users(model) for _, model in tried]
        at = max(range(len(tried)), key=lambda at: float(values[at].mean()))
        arm, model = tried[at]
        told = ", ".join(
            f"{each.name} {value.mean():.4f}" for (each, _), value in zip(tried, values, strict=True)
        )
        plainly = self._users(plain)
        self.why.append(
            f"validation {config.metric}: plain {plainly.mean():.4f}; after {trial} epochs {told}"
        )
        if not better(values[at], plainly):
            self.why.append("no use of the false negatives is better than none by more than its error")
            return None
        rest = round(config.finish * config.train.epochs)
        if rest:
            settings = with_arm(config.train, arm, rest)
            further = self._train("host", settings, found, arm, model)
            if float(self._users(further).mean()) > float(values[at].mean()):
                model = further
        self.why.append(f"{arm.name} goes on to {self._users(model).mean():.4f}")
        return arm, model

    def _with_prior(self, name: str, model: Artifact, found: Artifact) -> Artifact:
        return write_with_prior(
            self.out / "models" / name,
            model,
            found,
            self.data,
            metric=self.config.metric,
            facts=self.facts,
            if_exists="reuse",
        )

    def _users(self, model: Artifact) -> NDArray[np.float64]:
        """Return the metric of each validation user."""
        assert self.data.valid is not None
        scorer = load_scorer(model.path)
        name, k = Selector.parse(self.config.metric)
        measured = evaluate(
            scorer, self.data.train, self.data.valid, ks=[k], metrics=[name], device=self.device
        )
        return measured.per_user[self.config.metric]

    def _results(self, rows: dict[str, tuple[str, Artifact]], chosen: str, found: Artifact) -> dict[str, Any]:
        config, data = self.config, self.data
        # Only now, when everything is chosen, is the test split looked at: once for each row.
        entries = [
            {
                "name": title,
                "folder": str(model.path.relative_to(self.out)),
                "seconds": model.facts["wall_seconds"],
                "result": evaluate_model(model, data, ks=sorted({*config.top, 20})),
            }
            for title, model in rows.values()
        ]
        results: dict[str, Any] = {
            "data": {
                "name": data.name,
                "split": data.split,
                "users": data.n_users,
                "items": data.n_items,
                "interactions": data.train.n_interactions,
            },
            "seed": config.train.seed,
            "chosen": str(rows[chosen][1].path.relative_to(self.out)),
            "metric": config.metric,
            "why": self.why,
            "calibration": None,
            "rows": entries,
        }
        write_json(self.out / "results.json", results)
        source = (
            config.data if config.data.startswith(PREFIX) else relative(self.base / config.data, self.out)
        )
        write_report(self.out, config.model_copy(update={"data": source, "output": None}), results)
        return results
