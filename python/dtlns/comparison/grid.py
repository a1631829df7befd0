"""From the lists of a comparison to its rows: every combination once, with a name that says what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Literal

from dtlns.comparison.config import CompareConfig, RowsConfig
from dtlns.config import SelectionConfig, TreesConfig
from dtlns.errors import ConfigError
from dtlns.models.base import EmbeddingModel
from dtlns.plugins import load_plugin
from dtlns.samplers.registry import needs_codes
from dtlns.stages.controls import CONTROLS
from dtlns.training.settings import WEIGHED, ModelConfig, SamplerConfig, TrainConfig, Use

SplitName = Literal["given", "random", "time"]
_CODES = {"random-codes": "random", "shuffled-codes": "shuffled"}
_ONE_VIEW = {"structural-only": ("structural",), "semantic-only": ("semantic",)}


@dataclass(frozen=True)
class Variant:
    """Which data a row is trained and tested on.

    Attributes:
        split: `given`, or the data split anew.
        noise: Share of interactions added at random to the training split.
    """

    split: SplitName = "given"
    noise: float = 0.0

    @property
    def name(self) -> str:
        """For people: empty for the data as they are."""
        parts = [] if self.split == "given" else [f"{self.split} split"]
        return ", ".join(parts + ([f"noise {self.noise:g}"] if self.noise else []))


@dataclass(frozen=True)
class Row:
    """One line of the table, trained with several seeds.

    Attributes:
        method: Its name without the data variant.
        variant: Which data.
        settings: What is trained; its seed is replaced by each of `seeds`.
        trees: The trees that it uses, or None.
        judge: A judge, or one of the controls `no-judge` and `oracle`; None when nothing is judged.
        selection: Which judged candidates count.
        seeds: One for each run.
    """

    method: str
    variant: Variant
    settings: TrainConfig
    trees: TreesConfig | None
    judge: str | None
    selection: SelectionConfig
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.method} ({self.variant.name})" if self.variant.name else self.method

    @property
    def folder(self) -> str:
        """For files; different for each row of a table."""
        return re.sub(r"[^a-z0-9.=]+", "-", self.name.lower().replace("+", "with ")).strip("-")


def expand(config: CompareConfig) -> list[Row]:
    """Return the rows of a comparison.

    A combination that differs from an earlier one only in what it does not use falls away.

    Raises:
        ConfigError: A name is unknown, two rows would share a folder, or the baseline is not among the rows.
    """
    found: dict[str, Row] = {}
    for rows in config.rows:
        for row in _combinations(config, rows):
            if found.setdefault(row.folder, row) != row:
                raise ConfigError(f"two different rows are called {row.name!r}")
    table = list(found.values())
    for variant in dict.fromkeys(row.variant for row in table):
        methods = [row.method for row in table if row.variant == variant]
        if config.baseline not in methods:
            where = f" with {variant.name}" if variant.name else ""
            raise ConfigError(
                f"the baseline {config.baseline!r} is not among the rows{where}",
                allowed="; ".join(methods),
                hint="name one of them, or add a row for it",
            )
    return table


def _combinations(config: CompareConfig, rows: RowsConfig) -> list[Row]:
    names = list(RowsConfig.model_fields)
    lists = [getattr(rows, name) for name in names]
    return [_row(config, **dict(zip(names, values, strict=True))) for values in product(*lists)]


def _row(
    config: CompareConfig,
    *,
    model: str,
    sampler: str,
    multi_view: bool,
    view_weights: dict[str, float],
    false_negatives: Use,
    top: int,
    scale: float,
    judge: str,
    control: str,
    noise: float,
    split: SplitName,
) -> Row:
    variant = Variant(split, noise)
    kind = load_plugin("dtlns.models", model)
    if not (isinstance(kind, type) and issubclass(kind, EmbeddingModel)):
        return _baseline(config, variant, model, kind)
    multi_view = multi_view and control != "no-multi-view"
    judged = false_negatives != "ignore"
    by = (control if control in CONTROLS else judge) if judged else None
    base = config.train
    host = base.model.model_copy(update={"name": model} | _own_options(base.model, model))
    drawn = base.sampler.model_copy(
        update={"name": sampler, "multi_view": multi_view} | _own_options(base.sampler, sampler)
    )
    trees = None
    if needs_codes(drawn) or (judged and by not in CONTROLS):
        trees = config.trees.model_copy(update={"seed": 0})
        if control in _CODES:
            trees = trees.model_copy(update={"codes": _CODES[control]})
        if control in _ONE_VIEW:
            trees = trees.model_copy(update={"views": _ONE_VIEW[control]})
            view_weights = {name: view_weights[name] for name in trees.views if name in view_weights}
    if multi_view:
        drawn = drawn.model_copy(update={"view_weights": view_weights})
    settings = base.model_copy(
        update={"model": host, "sampler": drawn, "false_negatives": false_negatives, "seed": 0, "tune": False}
    )
    selection = SelectionConfig(top=top, scale=scale if false_negatives in WEIGHED else 1.0)
    method = " ".join(
        [
            model,
            sampler,
            *_view_words(multi_view, view_weights),
            *_use_words(false_negatives, selection, by),
            *_control_words(control, trees, by),
        ]
    )
    return Row(method, variant, settings, trees, by, selection if judged else SelectionConfig(), config.seeds)


def _baseline(config: CompareConfig, variant: Variant, model: str, kind: object) -> Row:
    """A model without epochs: nothing is drawn, and its options are chosen on validation."""
    settings = TrainConfig(
        model=ModelConfig(name=model),
        sampler=SamplerConfig(name="uniform"),
        tune=hasattr(kind, "search_space"),
    )
    # noise is drawn anew for each seed, so it makes even a model without chance a different one
    several = getattr(kind, "seeded", True) or variant.noise > 0
    seeds = config.seeds if several else config.seeds[:1]
    return Row(model, variant, settings, None, None, SelectionConfig(), seeds)


def _own_options(shared: ModelConfig | SamplerConfig, name: str) -> dict[str, object]:
    """Options belong to the plug-in that the shared settings name, and to no other."""
    return {} if shared.name == name else {"options": {}}


def _view_words(multi_view: bool, weights: dict[str, float]) -> list[str]:
    if not multi_view:
        return []
    if all(SamplerConfig().view_weights.get(name) == weight for name, weight in weights.items()):
        return ["+views"]
    return ["+views " + "/".join(f"{weight:g}" for weight in weights.values())]


def _use_words(use: Use, selection: SelectionConfig, judge: str | None) -> list[str]:
    if use == "ignore":
        return []
    words: list[str] = [use]
    if use in WEIGHED and selection.scale != SelectionConfig().scale:
        words.append(f"c={selection.scale:g}")
    if selection.top != SelectionConfig().top:
        words.append(f"top={selection.top}")
    return words if judge in ("prefix", *CONTROLS) else [*words, f"by {judge}"]


def _control_words(control: str, trees: TreesConfig | None, judge: str | None) -> list[str]:
    """Name a control only where it changes something; without multi-view, the row is called so already."""
    acts = trees is not None if control in (*_CODES, *_ONE_VIEW) else judge == control
    return [f"[{control}]"] if acts else []
