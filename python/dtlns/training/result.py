"""What a training run ends in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtlns.artifacts import load_arrays, save_arrays, write_json
from dtlns.errors import ArtifactError, InputError
from dtlns.models.base import Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.registry import load_scorer
from dtlns.training.checkpoint import METRICS, write_metrics

SUMMARY = "training.json"
PARAMETERS = "parameters.safetensors"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A scorer and how it came to be.

    Attributes:
        scorer: Ranks items; of the best epoch where a selector chose it.
        best_epoch: Epoch whose embeddings the scorer holds; 0 for a model without epochs.
        epochs_run: Epochs that were run.
        metric: Name of the selector's number, or None without a selector.
        best_value: That number, or None.
        history: One record per epoch: epoch, loss, and the selector's number where there is one. After
            tuning, one per trial: trial, options, and the selector's number.
        options: The options that tuning chose, or None.
        parameters: The model's parameters at the best epoch, by name, to go on from; none without epochs.
    """

    scorer: Scorer
    best_epoch: int = 0
    epochs_run: int = 0
    metric: str | None = None
    best_value: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] | None = None
    parameters: dict[str, Tensor] = field(default_factory=dict)

    @property
    def user_vectors(self) -> NDArray[np.float32]:
        """float32 [U, D], the final user embeddings of an embedding model."""
        return self._embeddings().user_vectors

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """float32 [I, D], the final item embeddings of an embedding model."""
        return self._embeddings().item_vectors

    def _embeddings(self) -> EmbeddingScorer:
        if not isinstance(self.scorer, EmbeddingScorer):
            raise InputError(
                f"a {type(self.scorer).__name__} has no embeddings",
                allowed="a model that is trained by epochs, such as mf or lightgcn",
            )
        return self.scorer

    def save(self, folder: Path) -> None:
        """Write the scorer, its parameters, `training.json` and `metrics.jsonl` into an existing folder."""
        folder = Path(folder)
        self.scorer.save(folder)
        write_json(
            folder / SUMMARY,
            {
                "best_epoch": self.best_epoch,
                "epochs_run": self.epochs_run,
                "metric": self.metric,
                "best_value": self.best_value,
                "options": self.options,
            },
        )
        write_metrics(folder, self.history)
        (folder / PARAMETERS).unlink(missing_ok=True)
        if self.parameters:
            save_arrays(folder / PARAMETERS, {name: part.numpy() for name, part in self.parameters.items()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: A file is missing or damaged.
        """
        folder = Path(folder)
        try:
            summary = json.loads((folder / SUMMARY).read_bytes())
            history = [json.loads(line) for line in (folder / METRICS).read_text("utf-8").splitlines()]
            told = cls(scorer=load_scorer(folder), history=history, **summary)
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no trained model ({error})") from error
        return replace(told, parameters=load_parameters(folder))


def load_parameters(folder: Path) -> dict[str, Tensor]:
    """Read the parameters of a saved model, by name; none where it has none."""
    file = Path(folder) / PARAMETERS
    arrays = load_arrays(file) if file.exists() else {}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
