"""AHNS: negatives whose hardness adapts to how well the positive scores already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from torch import Tensor

from dtlns._border import integer, real
from dtlns.data.views import TrainView
from dtlns.samplers.base import SamplingContext
from dtlns.samplers.dns import DNS
from dtlns.samplers.scored import CandidateTerm
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class AHNS(DNS):
    """Takes the candidate that scores nearest to β (s_p + α)^(p + 1), s_p the score of the positive.

    With p below -1 the higher a positive scores, the easier its negative is, against false positives and
    false negatives alike. Views are added to the negated distance |s_n - β (s_p + α)^(p + 1)|, normalised
    over the candidates. Where s_p + α is not above 0 the formula is taken as it is, as in the released code:
    its target is then negative, or infinite, and the choice the lowest score, or the first candidate.

    Source: Lai et al., Adaptive hardness negative sampling for collaborative filtering (AAAI 2024), the
    instantiation AHNS_{p<0}; published defaults α = 1, β = 0.1, p = -2 and N = 32.

    Args:
        candidates: N.
        terms: What is added to the normalised scores.
        negatives: K.
        alpha: α, at least 0.
        beta: β, above 0.
        p: An integer below -1, so that the power is one of an integer.

    Raises:
        InputError: An option is out of range.
    """

    option_names = ("alpha", "beta", "p")

    def __init__(
        self,
        candidates: int = 32,
        terms: tuple[CandidateTerm, ...] = (),
        *,
        negatives: int = 1,
        alpha: float = 1.0,
        beta: float = 0.1,
        p: int = -2,
    ) -> None:
        super().__init__(candidates, terms, negatives=negatives)
        self.alpha = real("alpha", alpha, 0.0)
        self.beta = real("beta", beta, 0.0, above=True)
        self.p = integer("p", p, -64, -2)

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
        """Make a sampler with the options `alpha`, `beta` and `p`; see `Sampler.build`."""
        terms = cls.terms_of(config, train, codes)
        return cls(config.candidates, terms, negatives=config.negatives, **config.options)

    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates by how near they are to the target: float32 [B, C, 1], at most 0."""
        positive = (context.user_vectors * context.positive_vectors).sum(dim=-1)
        target = self.beta * (positive + self.alpha).pow(self.p + 1)
        return -(super().scores(context, candidates) - target[:, None, None]).abs()
