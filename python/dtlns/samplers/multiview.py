"""Multi-view hard negatives: items near the positive in the index trees count as harder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError, InputError
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class MultiView:
    """Adds Σ_v α_v · sim_v(p, n) to the normalised scores of a score-based sampler.

    Source: DTL-NS (arXiv 2602.18249), multi-view hard negative sampling; any number of views.

    Args:
        views: Path codes and weight α by view name.

    Example:
        >>> codes = PathCodes.from_paths([(0, 1), (0, 2), (1, 0)])
        >>> MultiView({"structural": (codes, 0.1)})(torch.tensor([0]), torch.tensor([[1, 2]])).tolist()
        [[0.05000000074505806, 0.0]]
    """

    def __init__(self, views: Mapping[str, tuple[PathCodes, float]]) -> None:
        self.views = dict(views)
        self._on_device: dict[tuple[str, torch.device], tuple[Tensor, Tensor]] = {}

    @classmethod
    def build(cls, config: SamplerConfig, train: TrainView, codes: Mapping[str, PathCodes]) -> MultiView:
        """Pair codes with the weights of the same names.

        Args:
            config: `view_weights` by name; a weight of 0 drops its view.
            train: The training interactions, whose items the codes must cover.
            codes: Path codes by view name.

        Raises:
            ConfigError: Views and weights have different names, or none is left.
            InputError: A view has another number of items.
        """
        if set(codes) != set(config.view_weights):
            raise ConfigError(
                f"views {sorted(codes)} and view weights {sorted(config.view_weights)} differ",
                allowed="one weight per view, by the same names",
                hint="build trees for each view, or set sampler.view_weights",
            )
        for name, view in codes.items():
            if len(view) != train.n_items:
                raise InputError(
                    f"view {name!r} has {len(view)} codes", allowed=f"{train.n_items}, one per item"
                )
        views = {name: (codes[name], weight) for name, weight in config.view_weights.items() if weight}
        if not views:
            raise ConfigError(
                "no view is left for the multi-view terms", hint="give a view a weight, or switch them off"
            )
        return cls(views)

    def __call__(self, positives: Tensor, candidates: Tensor) -> Tensor:
        """Rate candidates by nearness to the positive: int64 [B], [B, N] -> float32 [B, N]."""
        total = torch.zeros(candidates.shape, dtype=torch.float32, device=candidates.device)
        for name, (codes, weight) in self.views.items():
            if candidates.device.type == "cpu":
                near = torch.from_numpy(codes.similarity(positives.numpy()[:, None], candidates.numpy()))
            else:
                near = self._similarity_there(name, codes, positives, candidates)
            total += weight * near
        return total

    def _similarity_there(self, name: str, codes: PathCodes, positives: Tensor, candidates: Tensor) -> Tensor:
        key = (name, candidates.device)
        if key not in self._on_device:
            self._on_device[key] = codes.to_torch(candidates.device)
        packed, depth = self._on_device[key]
        return codes.similarity_torch(packed, depth, positives.unsqueeze(1), candidates)
