"""The one number that training may know of validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import numpy as np

from dtlns.data.views import TrainView, ValidView
from dtlns.errors import ConfigError
from dtlns.evaluation.metrics import METRICS
from dtlns.evaluation.protocol import DEFAULT_KS, Result, evaluate
from dtlns.models.base import Scorer


class Selector:
    """Rates scorers on validation pairs and answers with one number, nothing else.

    Args:
        train: The training interactions, masked in the ranking.
        valid: The validation pairs.
        metric: Name and cut-off.
        device: Where to rank, as in `evaluate`.

    Raises:
        ConfigError: The metric is unknown, or its cut-off is beyond the catalogue.

    Example:
        >>> Selector.parse("recall@20")
        ('recall', 20)
    """

    def __init__(
        self, train: TrainView, valid: ValidView, metric: str = "recall@20", *, device: str = "cpu"
    ) -> None:
        self._train = train
        self._valid = valid
        self._metric, self._k = self.parse(metric)
        self.check(metric, train.n_items)
        self._device = device

    @staticmethod
    def parse(metric: str) -> tuple[str, int]:
        """Split a name such as `ndcg@10` into the metric and its cut-off."""
        name, _, k = metric.partition("@")
        if name not in METRICS or not k.isdigit() or int(k) < 1:
            raise ConfigError(f"unknown metric {metric!r}", allowed=f"{', '.join(METRICS)}, with @K")
        return name, int(k)

    @classmethod
    def check(cls, metric: str, n_items: int) -> None:
        """Refuse a metric whose lists would hold every item, so that no model is better than another.

        The usual cut-offs are taken for tiny catalogues too.

        Args:
            metric: Name and cut-off.
            n_items: I, of the training catalogue.

        Raises:
            ConfigError: Its cut-off is beyond the catalogue, or it is unknown.
        """
        most = max(n_items, *DEFAULT_KS)
        if cls.parse(metric)[1] > most:
            raise ConfigError(
                f"the metric {metric} needs longer lists than the training catalogue has items, {n_items}",
                allowed=f"a cut-off from 1 to {most}",
            )

    @property
    def name(self) -> str:
        """What the number is called."""
        return f"{self._metric}@{self._k}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what the number depends on, so that a model is known by the pairs that selected it.

        Cold users do not count, and cold items only by their number: their indexes depend on test ids too.
        """
        warm, n_items = self._train.n_users, self._train.n_items
        indptr = self._valid.indptr[: warm + 1]
        sha = hashlib.sha256(f"{self.name}:{n_items}\0".encode())
        sha.update(indptr.astype(np.int64).tobytes())
        sha.update(np.minimum(self._valid.indices[: indptr[-1]], n_items).astype(np.int64).tobytes())
        return sha.hexdigest()

    def __call__(self, scorer: Scorer) -> float:
        """Rate a scorer: the metric's mean over the users with validation pairs."""
        return self._result(scorer, None).metrics[self.name]

    def part(self, scorer: Scorer, share: Callable[[int], slice]) -> tuple[float, int]:
        """Rate a scorer for a share of the users, where several processes divide the work.

        Args:
            scorer: What is rated.
            share: Which of n users are this process's.

        Returns:
            The sum over those users, and how many they are.
        """
        values = self._result(scorer, share).per_user[self.name]
        return float(values.sum()), len(values)

    def _result(self, scorer: Scorer, share: Callable[[int], slice] | None) -> Result:
        return evaluate(
            scorer,
            self._train,
            self._valid,
            ks=(self._k,),
            metrics=(self._metric,),
            device=self._device,
            share=share,
        )
