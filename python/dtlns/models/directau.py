"""DirectAU: matrix factorisation trained by alignment and uniformity."""

from __future__ import annotations

from dtlns.models.mf import MF


class DirectAU(MF):
    """MF whose loss, where none is named, is `alignment-uniformity`; γ is the loss's option `gamma`.

    The authors' other encoder is the model `lightgcn` with that loss. Their initial embeddings are
    Xavier-normal; MF's are Xavier-uniform with the same variance.

    Source: Wang et al., Towards representation alignment and uniformity in collaborative filtering (KDD
    2022).

    Example:
        >>> DirectAU(3, 4, 8).default_loss
        'alignment-uniformity'
    """

    default_loss = "alignment-uniformity"
