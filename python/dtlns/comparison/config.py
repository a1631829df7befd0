"""What `dtlns compare` is told: a grid of rows, each trained with every seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dtlns.config import (
    DEFAULT_PRETRAIN,
    DEFAULT_TRAIN,
    CalibrationConfig,
    JudgeConfig,
    SelectionConfig,
    Settings,
    SplitConfig,
    TreesConfig,
    checked,
    overlay,
    read_toml,
)
from dtlns.errors import ConfigError
from dtlns.evaluation.selector import Selector
from dtlns.idle import refuse_idle_pretraining
from dtlns.training.settings import SamplerConfig, TrainConfig, Use

Control = Literal[
    "none",
    "random-codes",
    "shuffled-codes",
    "structural-only",
    "semantic-only",
    "no-judge",
    "no-multi-view",
    "oracle",
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
_ELSEWHERE = {  # shared settings that each row or seed replaces
    "train.false_negatives": "say it in [[rows]]",
    "train.observed": "all rows have all training interactions",
    "train.sampler.multi_view": "say it in [[rows]]",
    "train.sampler.view_weights": "say it in [[rows]]",
    "train.tune": "models without epochs are tuned, others cannot be",
    "train.refresh_every": "false negatives are found once for all rows",
    "train.seed": "say it in seeds",
    "pretrain.seed": "say it in seeds",
    "trees.seed": "say it in seeds",
    "calibration.seed": "say it in seeds",
}


class RowsConfig(Settings):
    """Rows of the table: every combination of what is listed. A single value stands for a list of one.

    Attributes:
        model: Names of models; those without epochs are tuned on validation and ignore the rest.
        sampler: Names of samplers.
        multi_view: Whether the sampler adds the views' similarities.
        view_weights: Weights by view name.
        false_negatives: What is done with judged false negatives.
        top: Judged candidates of each user that count.
        scale: With `avoid`, `weighted` and `sampled`, a pair's weight is min(1, scale · p_hidden).
        judge: Names of judges.
        control: One word for what is taken away or replaced.
        noise: Interactions added at random, as a share of the training interactions.
        split: `given`, or the data split anew.
    """

    model: tuple[str, ...] = Field(min_length=1)
    sampler: tuple[str, ...] = Field(("mixgcf",), min_length=1)
    multi_view: tuple[bool, ...] = Field((False,), min_length=1)
    view_weights: tuple[dict[str, Finite], ...] = Field((SamplerConfig().view_weights,), min_length=1)
    false_negatives: tuple[Use, ...] = Field(("ignore",), min_length=1)
    top: tuple[Annotated[int, Field(ge=1)], ...] = Field((SelectionConfig().top,), min_length=1)
    scale: tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...] = Field(
        (SelectionConfig().scale,), min_length=1
    )
    judge: tuple[str, ...] = Field(("prefix",), min_length=1)
    control: tuple[Control, ...] = Field(("none",), min_length=1)
    noise: tuple[Annotated[float, Field(ge=0.0, le=10.0)], ...] = Field((0.0,), min_length=1)
    split: tuple[Literal["given", "random", "time"], ...] = Field(("given",), min_length=1)

    @field_validator("*", mode="before")
    @classmethod
    def _single_value(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)


class CompareConfig(Settings):
    """A whole comparison.

    Attributes:
        data: A data set folder, or the name of a bundled one; relative to the TOML file.
        output: Where the folder of the comparison goes; relative to the working directory.
        seeds: Each row is trained once for each; a seed also decides pretraining, trees, calibration and
            noise.
        baseline: Name of the row that the others are compared with, without its noise and split.
        metrics: What is compared, on test.
        memory_gb: Bound for the memory of all jobs that run at the same time, or None.
        split: Used when the data set has no split, and for rows with another split.
        pretrain: The model behind the semantic tree and the candidates; its seed is replaced.
        trees: The index trees; their seed is replaced.
        candidates: Judged items per user, M.
        calibration: How judge scores become chances; its seed is replaced.
        judges: Options of judges, by the name that rows give.
        train: What all trained rows share; the rows say the rest.
        rows: The table.
    """

    data: str
    output: str | None = None
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((0, 1, 2, 3, 4), min_length=1)
    baseline: str
    metrics: tuple[str, ...] = Field(("recall@20", "ndcg@20"), min_length=1)
    memory_gb: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    split: SplitConfig = SplitConfig()
    pretrain: TrainConfig = DEFAULT_PRETRAIN
    trees: TreesConfig = TreesConfig()
    candidates: int = Field(20, ge=1)
    calibration: CalibrationConfig = CalibrationConfig()
    judges: dict[str, dict[str, Any]] = Field(default_factory=dict)
    train: TrainConfig = DEFAULT_TRAIN
    rows: tuple[RowsConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name in ("seeds", "metrics"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} without repetitions, not {list(values)}")
        for metric in self.metrics:
            Selector.parse(metric)
        named = {name for rows in self.rows for name in rows.judge}
        for name in self.judges:
            if name not in named:
                raise ValueError(
                    f"options of judges that a row names, which are {sorted(named)}, not {name!r}"
                )
        return self

    def judge(self, name: str) -> JudgeConfig:
        """Return the judge of a name, with its options."""
        return JudgeConfig(name=name, options=self.judges.get(name, {}))


def load_compare_config(file: Path, *, quick: bool = False, data: str | None = None) -> CompareConfig:
    """Read a comparison from TOML; what it does not say has the defaults of `dtlns run`.

    Args:
        file: The TOML file.
        quick: Lay its table `[quick]` over the rest.
        data: Another data set than the file's.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is not allowed.
    """
    given = read_toml(file)
    small = given.pop("quick", None)
    if quick:
        given = overlay(given, small or {})
    if data is not None:
        given["data"] = data
    for place, hint in _ELSEWHERE.items():
        if _is_given(given, place):
            raise ConfigError(f"{file}: {place} would change nothing", hint=hint)
    defaults = CompareConfig(data="-", baseline="-", rows=(RowsConfig(model=("mf",)),)).model_dump()
    for required in ("data", "baseline", "rows"):
        del defaults[required]
    config = checked(CompareConfig, overlay(defaults, given), str(file))
    refuse_idle_pretraining(config.pretrain, DEFAULT_PRETRAIN, str(file))
    return config


def _is_given(values: Any, place: str) -> bool:
    for part in place.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True
