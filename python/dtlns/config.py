"""What the commands are told: frozen, checked objects of plain values. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dtlns.errors import ConfigError
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig

_WHOLE_TABLES = ("view_weights", "options")  # given by name, so replaced and not merged
T = TypeVar("T", bound=BaseModel)
OwnView = Literal["structural", "semantic"]
CodesControl = Literal["built", "shuffled", "random"]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Settings(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitConfig(Settings):
    """How a log without a split is split.

    Attributes:
        by: `random` per user, global `time`, or `last-out` (which leaks time).
        valid: Share of the interactions for validation (not with `last-out`).
        test: Share for test (not with `last-out`).
        seed: Of the random split.
    """

    by: Literal["random", "time", "last-out"] = "random"
    valid: Share = 0.1
    test: Share = 0.2
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        fields = type(self).model_fields
        told = [name for name in ("valid", "test") if getattr(self, name) != fields[name].default]
        if self.by == "last-out" and told:
            raise ValueError("by = 'last-out' without valid and test: it takes one row of each user for each")
        if self.by != "last-out" and self.valid + self.test >= 1.0:
            raise ValueError(f"valid and test with a sum below 1, not {self.valid + self.test:g}")
        return self


class StructuralConfig(Settings):
    """Laplacian vectors of the item graph.

    Attributes:
        dimensions: Eigenvectors kept.
        power: Power of the eigenvalue by which each vector is scaled (diffusion maps); 0 is the published
            form.
        unit_rows: Give each item's row unit length, as Ng, Jordan and Weiss (2001) do.
        regularization: Multiple of the mean degree spread over all pairs of items.
    """

    dimensions: int = Field(32, ge=1, le=4096)
    power: float = Field(0.5, ge=0.0, allow_inf_nan=False)
    unit_rows: bool = True
    regularization: float = Field(0.0, ge=0.0, allow_inf_nan=False)


class TreesConfig(Settings):
    """The index trees.

    Attributes:
        views: Which of dtlns' own views to build.
        codes: Codes that are used: the `built` ones, or a control of the same shape that means nothing,
            `shuffled` among the items or `random`.
        branching: Children of a node, k.
        max_leaf_size: Most items in a leaf.
        balance: Smallest and largest child as multiples of the mean.
        structural: How the structural view's vectors are made.
        seed: Of the clustering, and of the controls.
    """

    views: tuple[OwnView, ...] = Field(("structural", "semantic"), min_length=1)
    codes: CodesControl = "built"
    branching: int = Field(4, ge=2, le=256)
    max_leaf_size: int = Field(30, ge=1)
    balance: tuple[Annotated[float, Field(ge=0.0, le=1.0)], Annotated[float, Field(ge=1.0, le=1e9)]] = (
        0.4,
        1.6,
    )
    structural: StructuralConfig = StructuralConfig()
    seed: int = Field(0, ge=0, lt=2**63)

    @field_validator("views")
    @classmethod
    def _in_one_order(cls, views: tuple[OwnView, ...]) -> tuple[OwnView, ...]:
        if len(set(views)) < len(views):
            raise ValueError("each view once")
        return tuple(sorted(views, reverse=True))  # so that the order of writing changes no artefact


PUBLISHED_TREES = TreesConfig(structural=StructuralConfig(power=0.0, unit_rows=False))


class JudgeConfig(Settings):
    """Which judge; where it has no options, its name alone says the same.

    Attributes:
        name: Entry point in the group `dtlns.judges`.
        options: Whatever it reads, by name; other names are refused.
    """

    name: str = "prefix"
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class CalibrationConfig(Settings):
    """How judge scores become chances.

    Attributes:
        share: Share of each user's training interactions that is hidden.
        by: How they are chosen; `auto` follows the data set's own split.
        seed: Of the choice, of the folds and of the drawn users.
        users: The judge is asked about so many users, drawn among all; None means all of them.
    """

    share: Share = 0.1
    by: Literal["auto", "random", "latest"] = "auto"
    seed: int = Field(0, ge=0, lt=2**63)
    users: int | None = Field(None, ge=1)


class SelectionConfig(Settings):
    """Which judged candidates count as false negatives, and how much.

    Attributes:
        top: The best candidates of each user, by `p_hidden`.
        scale: With the uses `avoid`, `weighted` and `sampled`, a pair's weight is min(1, scale · p_hidden).
        weight: With these uses, the same weight for each of them in place of that, or None.
    """

    top: int = Field(20, ge=1)
    scale: float = Field(8.0, gt=0.0, allow_inf_nan=False)
    weight: float | None = Field(None, gt=0.0, le=1.0)


DEFAULT_PRETRAIN = TrainConfig(
    model=ModelConfig(name="lightgcn"),
    sampler=SamplerConfig(name="mixgcf"),
    epochs=40,
    batch_size=4096,
    learning_rate=2e-3,
)
DEFAULT_TRAIN = TrainConfig(
    model=ModelConfig(name="mf"),
    sampler=SamplerConfig(name="mixgcf", multi_view=True),
    false_negatives="weighted",
)


class FalseNegativesConfig(Settings):
    """Which judged candidates a run uses.

    Attributes:
        top: The best candidates of each user, by `p_hidden`.
        scales: With a use that weighs, a pair's weight is min(1, scale · p_hidden); a model is trained for
            each scale, and validation chooses.
    """

    top: int = Field(20, ge=1)
    scales: tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...] = Field((2.0, 8.0), min_length=1)

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(scales)) < len(scales):
            raise ValueError("each scale once")
        return scales


class RunConfig(Settings):
    """A whole run.

    Attributes:
        data: A data set folder, or the name of a bundled one; relative to the TOML file.
        output: Where the run's folder goes; relative to the working directory.
        split: Used when the data set has no split yet.
        pretrain: The model behind the semantic tree and the candidates. It never sees validation, so it
            trains for exactly `epochs` epochs.
        trees: The index trees.
        candidates: Judged items per user, M.
        judge: Who tells how likely a candidate is a false negative.
        calibration: How its scores become chances.
        false_negatives: Which candidates count as false negatives.
        train: The host to be improved.
        top: Cut-offs K of the metrics.
    """

    data: str
    output: str | None = None
    split: SplitConfig = SplitConfig()
    pretrain: TrainConfig = DEFAULT_PRETRAIN
    trees: TreesConfig = TreesConfig()
    candidates: int = Field(20, ge=1)
    judge: JudgeConfig = JudgeConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    false_negatives: FalseNegativesConfig = FalseNegativesConfig()
    train: TrainConfig = DEFAULT_TRAIN
    top: tuple[Annotated[int, Field(ge=1)], ...] = Field((5, 10, 20, 30, 50), min_length=1)


class Arm(Settings):
    """One way to use found false negatives, which validation compares with others.

    Attributes:
        top: The best candidates of each user, by `p_hidden`.
        scale: A pair is there with the chance min(1, scale · p_hidden) in each epoch.
        weight: With this chance each, in place of that.
        observed: The chance of a training interaction to be there.
        temperature: Of a softmax; None leaves the host's own.
    """

    top: int = Field(20, ge=1)
    scale: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    weight: float | None = Field(None, gt=0.0, le=1.0)
    observed: float = Field(1.0, gt=0.0, le=1.0)
    temperature: float | None = Field(None, gt=0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_chance(self) -> Self:
        if (self.scale is None) == (self.weight is None):
            given = "none is" if self.scale is None else "both are"
            raise ValueError(f"one of scale and weight, and {given} given")
        return self

    @property
    def name(self) -> str:
        """For people and folders."""
        parts = [f"best{self.top}", f"c{self.scale:g}" if self.scale is not None else f"w{self.weight:g}"]
        if self.observed != 1:
            parts.append(f"o{self.observed:g}")
        if self.temperature is not None:
            parts.append(f"t{self.temperature:g}")
        return "-".join(parts)

    @property
    def selection(self) -> SelectionConfig:
        """Which candidates count, and how much."""
        how = {"weight": self.weight} if self.scale is None else {"scale": self.scale}
        return SelectionConfig(top=self.top, **how)


class BestConfig(Settings):
    """A run of the recommended recipe: false negatives from a model of trees, graph and a pretrained host.

    Attributes:
        recipe: Tells its TOML file from that of the other recipe.
        data: A data set folder, or the name of a bundled one; relative to the TOML file.
        output: Where the run's folder goes; relative to the working directory.
        split: Used when the data set has no split yet.
        pretrain: The model behind candidates, features and the semantic tree; without validation.
        trees: The index trees.
        use_trees: Whether there are any.
        calibration: How positives are hidden.
        hidings: How many times; once where the latest ones are hidden, which are always the same.
        train: The host. Its `epochs` bound the plain training.
        metric: What validation measures for every choice.
        arms: Ways to use false negatives. Each is tried from the plain host on.
        trial: Share of `train.epochs` that an arm is tried for, in passes over as many pairs.
        finish: Share of them that the best arm may go on for from there.
        top: Cut-offs K of the metrics.
    """

    recipe: Literal["best"] = "best"
    data: str
    output: str | None = None
    split: SplitConfig = SplitConfig()
    pretrain: TrainConfig = TrainConfig(
        model=ModelConfig(name="ials", options={"factors": 128}), sampler=SamplerConfig(name="uniform")
    )
    trees: TreesConfig = TreesConfig()
    use_trees: bool = True
    candidates: ClassVar[int] = 20  # of the artefact; the false-negative model finds its own
    calibration: CalibrationConfig = CalibrationConfig()
    hidings: int = Field(3, ge=1)
    train: TrainConfig = TrainConfig(
        model=ModelConfig(name="mf"),
        sampler=SamplerConfig(name="shared-uniform", negatives=512),
        loss=LossConfig(name="softmax"),
        epochs=60,
        learning_rate=2e-3,
        patience=2,
    )
    metric: str = "ndcg@20"
    arms: tuple[Arm, ...] = Field(
        (Arm(scale=6.0, observed=0.1, temperature=0.08), Arm(top=5, weight=0.5)), min_length=1
    )
    trial: Share = 0.15
    finish: Share = 0.3
    top: tuple[Annotated[int, Field(ge=1)], ...] = Field((5, 10, 20, 30, 50), min_length=1)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        ConfigError: It is missing or not TOML; the message has line and column.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def overlay(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay tables over tables, key by key; what is given by name, such as view weights, is replaced whole.

    Args:
        under: The defaults.
        over: What is said about them.
    """
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(under.get(key), dict)
        if both and "options" in under[key] and value.get("name", under[key]["name"]) != under[key]["name"]:
            under = under | {key: under[key] | {"options": {}}}  # options belong to what they are of
        merged[key] = overlay(under[key], value) if both and key not in _WHOLE_TABLES else value
    return merged


def checked(kind: type[T], values: dict[str, Any], source: str) -> T:
    """Make a settings object; every problem is named with its place and value.

    Args:
        kind: The settings class.
        values: Plain values.
        source: Where they come from, for the message.

    Raises:
        ConfigError: A key is unknown or a value is not allowed.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        # an unknown key first: it is often why another one is missing
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        place = ".".join(str(part) for part in first["loc"]) or "settings do not fit together"
        # a list with a wrong entry is told to be too short as well
        others = [found for found in error.errors() if found["loc"] != first["loc"][: len(found["loc"])]]
        more = f" (and {len(others)} more)" if others else ""
        if first["type"] == "extra_forbidden":
            parent: Any = kind
            for part in first["loc"][:-1]:
                parent = (
                    get_args(parent)[0] if isinstance(part, int) else parent.model_fields[part].annotation
                )
            raise ConfigError(
                f"{source}: unknown key {place!r}{more}", allowed=", ".join(parent.model_fields)
            ) from error
        if first["type"] == "missing":
            raise ConfigError(f"{source}: {place} is missing{more}") from error
        value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        allowed = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        if first["type"] == "model_type":
            allowed = "a table of settings"
        if first["type"] in ("tuple_type", "too_short"):
            allowed = "a list of one or more"
        raise ConfigError(f"{source}: {place}{value}{more}", allowed=allowed) from error
