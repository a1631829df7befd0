"""What a training run is told: the model, the sampler and the loop, frozen and checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dtlns.embeddings import Similarity

Use = Literal["ignore", "exclude", "avoid", "positive", "weighted", "sampled"]
WEIGHED: tuple[Use, ...] = ("avoid", "weighted", "sampled")  # a pair's weight matters to these
Precision = Literal["float32", "bfloat16"]

_Weight = Annotated[float, Field(allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelConfig(_Settings):
    """Which model, and its shape.

    Attributes:
        name: Entry point in the group `dtlns.models`.
        dimensions: Embedding size D, of models that have embeddings.
        layers: Propagation layers L, of models that propagate, such as LightGCN.
        options: Whatever else a model reads, by name; other names are refused.
    """

    name: str = "lightgcn"
    dimensions: int = Field(64, ge=1, le=65536)
    layers: int = Field(3, ge=0, le=64)
    options: dict[str, Any] = Field(default_factory=dict)


class SamplerConfig(_Settings):
    """Which negative sampler.

    Attributes:
        name: Entry point in the group `dtlns.samplers`.
        candidates: Uniform unobserved items N among which a score-based sampler chooses.
        negatives: Negatives K for each positive.
        multi_view: Add the path-code similarities of the views to the candidates' scores.
        view_weights: Weight alpha by view name; the published values of DTL-NS on Amazon-sports.
        options: Whatever else a sampler reads, by name; other names are refused.
    """

    name: str = "mixgcf"
    candidates: int = Field(10, ge=1, le=65536)
    negatives: int = Field(1, ge=1, le=65536)
    multi_view: bool = False
    view_weights: dict[str, _Weight] = Field(default_factory=lambda: {"structural": 0.1, "semantic": 0.3})
    options: dict[str, Any] = Field(default_factory=dict)


class LossConfig(_Settings):
    """Which loss.

    Attributes:
        name: Entry point in the group `dtlns.losses`; None takes the model's own.
        similarity: How vectors are compared, in training and in what the model ends in; None takes the
            loss's own, such as the cosine for a softmax.
        options: Whatever the loss reads, by name; other names are refused.
    """

    name: str | None = None
    similarity: Similarity | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class TrainConfig(_Settings):
    """A whole training run; the defaults are the published ones of DTL-NS.

    Attributes:
        model: The model.
        sampler: The negative sampler.
        loss: The loss.
        false_negatives: What is done with judged false negatives: `ignore` them, `exclude` them from the
            negatives, `avoid` them: a pair leaves the negatives of an epoch with the chance of its weight;
            or exclude them and add them as `positive` (weight 1) or `weighted` (their own weight) pairs, or
            as `sampled` ones: a pair is in an epoch with the chance of its weight, at most 1. In expectation
            the terms of the pairs are those of `weighted`, up to a factor for all of them; L2 counts a pair
            by its weight too; and an epoch has as many pairs more as the weights' sum, not their number.
        observed: With `sampled`, the chance of a training interaction to be in an epoch. What the host shall
            rank are items without one: a smaller share leaves more of the training to false negatives.
        refresh_every: Epochs after which false negatives are found anew with the model as it is then; 0
            keeps those that were given.
        epochs: Upper bound with a selector, the exact number without one.
        batch_size: Training pairs in a batch, B.
        learning_rate: Step size of Adam.
        l2: Weight of half the mean squared norm of the batch's layer-0 embeddings.
        validate_every: Epochs between two validations (and checkpoints).
        patience: Validations without a better value after which training stops.
        precision: `bfloat16` computes scores and losses in mixed precision; parameters stay float32.
        compile: Compile the step with `torch.compile`.
        interaction_weights: Multiply each pair's loss by the training view's own weights.
        tune: Choose the options of a model without epochs, such as EASE, on validation.
        seed: Of everything random in the run.
    """

    model: ModelConfig = Field(default_factory=ModelConfig)
    sampler: SamplerConfig = Field(default_factory=SamplerConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    false_negatives: Use = "ignore"
    observed: float = Field(1.0, gt=0.0, le=1.0)
    refresh_every: int = Field(0, ge=0)
    epochs: int = Field(300, ge=1)
    batch_size: int = Field(2048, ge=1)
    learning_rate: float = Field(1e-3, gt=0.0, allow_inf_nan=False)
    l2: float = Field(1e-4, ge=0.0, allow_inf_nan=False)
    validate_every: int = Field(5, ge=1)
    patience: int = Field(10, ge=1)
    precision: Precision = "float32"
    compile: bool = False
    interaction_weights: bool = False
    tune: bool = False
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _observed_by_chance(self) -> Self:
        if self.observed != 1 and self.false_negatives != "sampled":
            raise ValueError(
                f"observed = {self.observed:g} needs false_negatives = 'sampled' (--use sampled), "
                f"not {self.false_negatives!r}"
            )
        return self
