"""What can be told of a search before its first trial: whether its points can be trained, and matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from dtlns.config import SelectionConfig
from dtlns.errors import ConfigError, DtlnsError
from dtlns.false_negatives import FalseNegatives
from dtlns.models.base import EmbeddingModel
from dtlns.plugins import load_plugin
from dtlns.recipe import Recipe
from dtlns.rehearsal import rehearse_training
from dtlns.samplers.registry import needs_codes
from dtlns.search.space import Space, at_point, corners
from dtlns.training.settings import WEIGHED, Use
from dtlns.trees import PathCodes

if TYPE_CHECKING:
    from dtlns.training.loop import Refresh


class JudgedLike(Protocol):
    """Judged candidates, from which false negatives are made as a trial wants them."""

    @property
    def digest(self) -> str:
        """What they are, so that a search is not gone on with other ones."""
        ...

    def select(self, use: Use, selection: SelectionConfig) -> FalseNegatives:
        """Select false negatives."""
        ...

    def refresher(self, use: Use, selection: SelectionConfig) -> Refresh:
        """Return what finds them anew, or raise a ConfigError where that cannot be done."""
        ...


def check_search(
    base: Recipe,
    space: Space,
    codes: Mapping[str, PathCodes],
    judged: JudgedLike | None,
    source: str = "space",
) -> None:
    """Try the corners of a space on a toy, and refuse places that would change nothing.

    Args:
        base: What all trials share.
        space: What they differ in.
        codes: Path codes by view name, empty where there are none.
        judged: Judged candidates, or None.
        source: Where the settings come from, for messages.

    Raises:
        ConfigError: A point cannot be trained, or a place does not matter.
    """
    if base.train.tune:
        raise ConfigError(f"{source}: train.tune = true", hint="the search itself chooses options")
    recipes = []
    for point in corners(space):
        recipe = at_point(base, point, source)
        branching = max((view.branching for view in codes.values()), default=2)
        try:
            _check_inputs(recipe, codes, judged)
            rehearse_training(recipe.train, codes, branching)
        except DtlnsError as error:
            where = f" (at {point_text(point)})" if point else ""
            raise ConfigError(
                f"{source}: {error.what}{where}", allowed=error.allowed, hint=error.hint
            ) from error
        recipes.append(recipe)
    if not any(_has_epochs(recipe) for recipe in recipes):
        _check_fitted(recipes[0].train.model.name, space, source)
    elif not space:
        raise ConfigError(f"{source}: nothing to search", allowed="a table [space] with one place or more")
    uses = {recipe.train.false_negatives for recipe in recipes}
    idle = {
        "train.sampler.view_weights.": not any(recipe.train.sampler.multi_view for recipe in recipes),
        "selection.": uses == {"ignore"},
        "selection.scale": not uses & set(WEIGHED),
        "selection.weight": not uses & set(WEIGHED),
    }
    no_weights = f"train.false_negatives is none of {', '.join(WEIGHED)}"
    reason = {
        "train.sampler.view_weights.": "train.sampler.multi_view is false",
        "selection.": "train.false_negatives is 'ignore'",
        "selection.scale": no_weights,
        "selection.weight": no_weights,
    }
    for place in space:
        for prefix, applies in idle.items():
            if applies and place.startswith(prefix):
                raise ConfigError(f"{source}: {place} would change nothing", hint=f"{reason[prefix]}")


def point_text(point: Mapping[str, object]) -> str:
    """Return a point for people to read.

    Example:
        >>> point_text({"train.l2": 0.00012345, "train.sampler.candidates": 10})
        'l2 0.000123, sampler.candidates 10'
    """
    parts = []
    for place, value in point.items():
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{place.removeprefix('train.')} {text}")
    return ", ".join(parts)


def _check_inputs(recipe: Recipe, codes: Mapping[str, PathCodes], judged: JudgedLike | None) -> None:
    """Refuse settings that need what was not given."""
    sampler = recipe.train.sampler
    if needs_codes(sampler) and not codes:
        reason = "multi_view = true" if sampler.multi_view else f"name = {sampler.name!r}"
        raise ConfigError(
            f"train.sampler.{reason} needs trees",
            hint='name a folder of `dtlns build-trees`: trees = "FOLDER"',
        )
    use = recipe.train.false_negatives
    if use != "ignore" and judged is None:
        raise ConfigError(
            f"train.false_negatives = {use!r} needs judged candidates",
            hint='name a folder of `dtlns judge`: judged = "FOLDER"',
        )
    if recipe.train.refresh_every > 0:
        if use == "ignore" or judged is None:
            raise ConfigError(
                f"train.refresh_every = {recipe.train.refresh_every} without false negatives",
                allowed="0, or false_negatives that are not ignored",
            )
        judged.refresher(use, recipe.selection)


def _has_epochs(recipe: Recipe) -> bool:
    kind = load_plugin("dtlns.models", recipe.train.model.name)
    return isinstance(kind, type) and issubclass(kind, EmbeddingModel)


def _check_fitted(model: str, space: Space, source: str) -> None:
    """A model without epochs is built from its own settings; nothing else in a recipe reaches it."""
    hint = f"`dtlns train --model {model} --tune` tries the usual values of its options"
    if not space:
        raise ConfigError(f"{source}: nothing to search", allowed="train.model.options.NAME", hint=hint)
    for place in space:
        if not place.startswith("train.model."):
            raise ConfigError(
                f"{source}: {place} would change nothing: {model} is a model without epochs",
                allowed="train.model.options.NAME",
                hint=hint,
            )
