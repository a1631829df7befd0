"""Tree depth: negatives that stand in a chosen relation to the positive, nearer as training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from dtlns._border import integer, word
from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.prefix_ranges import PrefixRanges
from dtlns.samplers.base import DrawContext, Negatives, Prepared, Sampler, SamplingContext
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class TreeDepth(Sampler):
    """Draws uniformly from items whose nearest common ancestor with the positive is g levels above its leaf.

    g = 0 is the positive's own leaf, 1 its siblings: the rest of the parent's items, 2 its cousins: the rest
    of the grandparent's, and so on to the depth of the positive's leaf, where it is all that is outside of
    its branch of the root; a larger g is taken for that. Relations are disjoint, and together all items.

    The schedule goes from easy to hard: g falls from `far` to `near` in equal steps over some epochs, and
    stays there. Where a user has nothing left in a relation, the next one up is taken that has something, and
    where none above has, all that the user has left. log_q is that of the draw from where it was made.

    Source: the index tree of DTL-NS (arXiv 2602.18249); Bengio et al., Curriculum learning (ICML 2009), for
    going from easy to hard. The combination is ours, and published nowhere.

    Args:
        codes: Path codes of all items in one view.
        negatives: K.
        far: g of the first epoch.
        near: g of the last step, at most `far`.
        over: Epochs from `far` to `near`; None for all that the run may take.

    Raises:
        InputError: An option is out of range.
    """

    option_names = ("view", "from", "to", "over")
    uses_codes = True

    def __init__(
        self,
        codes: PathCodes,
        negatives: int = 1,
        *,
        far: int = 3,
        near: int = 1,
        over: int | None = None,
    ) -> None:
        super().__init__()
        self.codes = codes
        self.negatives = negatives
        self.far = integer("from", far, 0, 64)
        self.near = integer("to", near, 0, self.far)
        self.over = None if over is None else integer("over", over, 1, 2**31 - 1)
        self._ranges: dict[torch.device, PrefixRanges] = {}

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
        """Make a sampler with the options `view`, `from`, `to` and `over`; see `Sampler.build`.

        Raises:
            InputError: There is no such view, or it has another number of items.
        """
        options = config.options
        view = codes[word("view", options.get("view", "structural"), sorted(codes))]
        if len(view) != train.n_items:
            raise InputError(f"the view has {len(view)} codes", allowed=f"{train.n_items}, one per item")
        names = {"from": "far", "to": "near", "over": "over"}
        given = {names[name]: value for name, value in options.items() if name != "view"}
        return cls(view, config.negatives, **given)

    def level(self, epoch: int, epochs: int) -> int:
        """Return g of an epoch, from 1, of a run of so many epochs.

        Example:
            >>> codes = PathCodes.from_paths([(0,), (1,)])
            >>> [TreeDepth(codes, far=3, near=1, over=6).level(epoch, 50) for epoch in range(1, 8)]
            [3, 3, 2, 2, 1, 1, 1]
        """
        steps = self.far - self.near + 1
        return max(self.near, self.far - (epoch - 1) * steps // (self.over or epochs))

    def relations(self, positives: Tensor) -> tuple[Tensor, Tensor]:
        """Return where in the tree's order the items of each relation stand.

        Args:
            positives: int64 [B].

        Returns:
            Two ranges of positions each, low and high int64 [B, T + 2, 2], T the depth of the tree: g = 0 to
            T, with no item for a g above the depth of the positive's leaf, and everything.
        """
        ranges = self._ranges_on(positives.device)
        up = torch.arange(ranges.max_depth + 1, device=positives.device)
        levels = (ranges.depth[positives].unsqueeze(1) - up).clamp(min=0)
        ends = ranges.bounds(positives.repeat_interleave(len(up)), levels.flatten())
        low, high = (end.view(levels.shape) for end in ends)
        # a relation is what the ancestor g levels up has, but not the one below it: what stands before the
        # inner range and what stands behind it; the last ancestor is the root, which has everything
        leaf, root_low, root_high = high[:, :1], low[:, -1:], high[:, -1:]
        outer = torch.cat([low, root_low], dim=1), torch.cat([high, root_high], dim=1)
        inner = (
            torch.cat([leaf, low[:, :-1], root_high], dim=1),
            torch.cat([leaf, high[:, :-1], root_high], dim=1),
        )
        return torch.stack([outer[0], inner[1]], dim=2), torch.stack([inner[0], outer[1]], dim=2)

    def prepare(self, context: DrawContext) -> Prepared:
        """Draw: ids int64 [B, K] and log_q float32 [B, K]."""
        ranges = self._ranges_on(context.users.device)
        low, high = self.relations(context.positives)
        n = low.shape[1]
        users = context.users.repeat_interleave(n)
        left = context.draws.available_within(users, ranges.order, low.view(-1, 2), high.view(-1, 2))
        left = left.view(-1, n)
        wanted = ranges.depth[context.positives].clamp(max=self.level(context.epoch, context.epochs))
        up = torch.arange(n, device=users.device)
        usable = (left > 0) & (up >= wanted.unsqueeze(1))
        usable[:, -1] = True
        found = usable.int().argmax(dim=1)  # the first, which is the nearest
        pairs = torch.arange(len(found), device=users.device)
        ids = context.draws.draw_within(
            context.users,
            self.negatives,
            ranges.order,
            low[pairs, found],
            high[pairs, found],
            rows=context.rows,
            seed=context.seed,
            epoch=context.epoch,
        )
        return {"ids": ids, "log_q": -torch.log(left[pairs, found].float()).unsqueeze(1).expand(ids.shape)}

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw int64 [B, K]."""
        found = self.prepared(context)
        return Negatives(found["ids"], log_q=found["log_q"])

    def _ranges_on(self, device: torch.device) -> PrefixRanges:
        if device not in self._ranges:
            self._ranges[device] = PrefixRanges(self.codes, device)
        return self._ranges[device]
