"""DNS(M, N): one of the M hardest of N uniform candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from torch import Tensor

from dtlns._border import integer
from dtlns.data.views import TrainView
from dtlns.samplers.base import DrawContext, Prepared, SamplingContext
from dtlns.samplers.dns import DNS
from dtlns.samplers.scored import CandidateTerm
from dtlns.training.settings import SamplerConfig
from dtlns.training.streams import PICKING
from dtlns.trees import PathCodes


class DNSMN(DNS):
    """Draws N uniform candidates, and a negative uniformly from the M that the model scores highest.

    M and N set which K of top-K metrics the loss cares for: larger N and smaller M, a smaller K. M = 1 is
    DNS, M = N is uniform. Each of K negatives has N candidates of its own.

    Source: Shi et al., On the theories behind hard negative sampling for recommendation (WWW 2023),
    definition of DNS(M, N). Their released code sums the loss over all M instead of drawing one of them: M
    times the expected loss of one, with less variance.

    Args:
        candidates: N.
        terms: What is added to the normalised scores.
        negatives: K.
        top: M.

    Raises:
        InputError: M is not from 1 to N.
    """

    option_names = ("top",)

    def __init__(
        self,
        candidates: int = 10,
        terms: tuple[CandidateTerm, ...] = (),
        *,
        negatives: int = 1,
        top: int = 2,
    ) -> None:
        super().__init__(candidates, terms, negatives=negatives)
        self.top = integer("top", top, 1, candidates)

    @classmethod
    def build(
        cls,
        config: SamplerConfig,
        train: TrainView,
        *,
        codes: Mapping[str, PathCodes],
        dimensions: int,
        seed: int,
    ) -> Self:
        """Make a sampler with the option `top`, M; see `Sampler.build`."""
        terms = cls.terms_of(config, train, codes)
        return cls(config.candidates, terms, negatives=config.negatives, **config.options)

    def prepare(self, context: DrawContext) -> Prepared:
        """Draw candidates, and add the rank to pick, int64 [B, K]: 0 is the hardest."""
        numbers = context.uniform(self.negatives, purpose=PICKING)
        return {**super().prepare(context), "rank": (numbers * self.top).long()}

    def pick(self, context: SamplingContext, scores: Tensor) -> Tensor:
        """Pick by rank among the top M: int64 [B, K, 1]."""
        hardest = scores.topk(self.top, dim=2).indices
        rank = self.prepared(context)["rank"]
        return hardest.gather(2, rank[:, :, None, None]).squeeze(2)
