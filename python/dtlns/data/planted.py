"""Planted worlds: interaction logs with a known hierarchy, known likes and known exposure.

A world has branching³ leaves with a number of items each. Each user has home branches at the top, some of
their sub-branches, some leaves in each: the items of those leaves are liked, and a random part of them is
exposed. Interactions come from the liked and exposed items, from other leaves of the home branches, and
from anywhere, in fixed shares; so which unobserved items are false negatives is known.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dtlns.artifacts import check_free, save_arrays
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.planted_draw import draw_users
from dtlns.data.planted_truth import TRUTH, PlantedTruth, load_truth
from dtlns.data.splits import assign, check_shares
from dtlns.data.store import write_dataset
from dtlns.errors import InputError

__all__ = ["SETTINGS", "PlantedSettings", "PlantedTruth", "load_truth", "plant"]

LEVELS = 3


@dataclass(frozen=True)
class PlantedSettings:
    """The numbers of a planted world; the defaults are the setting `easy`.

    Attributes:
        users: Number of users.
        branching: Children of each inner node; there are branching³ leaves.
        leaf_size: Items of a leaf.
        home_branches: Top branches of a user.
        sub_branches: Sub-branches that a user likes in each home branch.
        leaves: Leaves that a user likes in each of them.
        exposed: Share of the liked items that the user can have met.
        interactions: Interactions of a user, all different items.
        shares: Chances that an interaction comes from the liked and exposed items, from other leaves of the
            home branches, from anywhere.
        skew: Within a leaf, the chance of the item of rank r is proportional to r^-skew.
    """

    users: int = 2000
    branching: int = 4
    leaf_size: int = 16
    home_branches: int = 1
    sub_branches: int = 2
    leaves: int = 2
    exposed: float = 0.5
    interactions: int = 30
    shares: tuple[float, float, float] = (0.80, 0.15, 0.05)
    skew: float = 0.0

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.branching**LEVELS) * self.leaf_size

    @property
    def n_liked(self) -> int:
        """Number of items that each user likes."""
        return self.home_branches * self.sub_branches * self.leaves * self.leaf_size

    @property
    def n_exposed(self) -> int:
        """Number of liked items that each user can have met."""
        return int(self.n_liked * self.exposed)

    def check(self) -> None:
        """Raise unless such a world can exist.

        Raises:
            InputError: A number is out of its bounds.
        """
        for name in (
            "users",
            "branching",
            "leaf_size",
            "home_branches",
            "sub_branches",
            "leaves",
            "interactions",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", allowed="1 or more")
        for name in ("home_branches", "sub_branches", "leaves"):
            if getattr(self, name) > self.branching:
                raise InputError(
                    f"{name} is {getattr(self, name)}", allowed=f"at most the branching, {self.branching}"
                )
        if self.n_items > 2**24 or self.users > 2**31 - 1:
            raise InputError(
                f"{self.users} users and {self.n_items} items", allowed="at most 2^31-1 and 2^24"
            )
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise InputError(f"the shares are {self.shares}", allowed="three chances that add up to 1")
        if not 0 < self.exposed <= 1:
            raise InputError(f"the exposed share is {self.exposed}", allowed="above 0, at most 1")
        if not 0 <= self.skew <= 4:
            raise InputError(f"the skew is {self.skew}", allowed="0 to 4")
        others = self.home_branches * self.branching ** (LEVELS - 1) * self.leaf_size - self.n_liked
        sources = {"liked and exposed": self.n_exposed, "other home-branch": others, "all": self.n_items}
        for (name, size), share in zip(sources.items(), self.shares, strict=True):
            if share > 0 and size < self.interactions:
                raise InputError(
                    f"{self.interactions} interactions a user, but only {size} {name} items",
                    allowed="no more interactions than items in each of the three sources",
                )


SETTINGS: dict[str, PlantedSettings] = {
    "easy": PlantedSettings(),
    "hard": PlantedSettings(home_branches=2, interactions=15, shares=(0.5, 0.3, 0.2), skew=1.0),
}


def plant(
    output: Path | str,
    settings: PlantedSettings | str = "easy",
    *,
    seed: int = 0,
    split: tuple[float, float] | None = (0.1, 0.2),
    force: bool = False,
    **changes: Any,
) -> Dataset:
    """Make a planted world and write it as a data set.

    Args:
        output: Where the data set shall be.
        settings: `easy`, `hard`, or numbers of your own.
        seed: Of everything random.
        split: Shares of validation and test of a random split per user; None for no split.
        force: Replace a data set that is there.
        changes: Fields of `PlantedSettings` with other values.

    Returns:
        The data set, opened; `load_truth` gives what is true about it.

    Raises:
        InputError: Such a world cannot exist.
        ArtifactError: `output` exists and `force` is false.

    Example:
        >>> plant("world", "easy", users=500).train.n_users  # doctest: +SKIP
        500
    """
    name = settings if isinstance(settings, str) else "own"
    if isinstance(settings, str):
        if settings not in SETTINGS:
            raise InputError(f"the setting {settings!r} is unknown", allowed=", ".join(SETTINGS))
        settings = SETTINGS[settings]
    settings = replace(settings, **changes)
    settings.check()
    if split is not None:
        check_shares(*split)
    if seed < 0:
        raise InputError(f"the seed is {seed}", allowed="0 or more")
    output = Path(output)
    check_free(output, force=force)
    world = draw_users(settings, seed)
    frame = pl.DataFrame(
        {
            "user": np.repeat(np.arange(settings.users, dtype=np.int64), settings.interactions),
            "item": world.items.ravel().astype(np.int64),
            "timestamp": world.times.ravel(),
        }
    )
    how: dict[str, Any] | None = None
    if split is None:
        frame = frame.with_columns(split=pl.lit("train"))
    else:
        frame = frame.with_columns(split=assign(frame, "random", valid=split[0], test=split[1], seed=seed))
        how = {"by": "random", "seed": seed, "valid": split[0], "test": split[1], "keep_test": False}
    names = [
        "-".join(map(str, path)) + f" #{rank + 1}"
        for path, rank in zip(world.paths, world.ranks, strict=True)
    ]
    ids = pl.Series("id", np.arange(settings.n_items, dtype=np.int64))
    truth = {
        "paths": world.paths,
        "ranks": world.ranks,
        "liked": world.liked,
        "exposed": world.exposed,
        "homes": world.homes,
    }
    write_dataset(
        output,
        frame,
        name=f"planted-{name}",
        config={
            "source": "planted",
            "setting": name,
            "planted": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()},
            "seed": seed,
            "catalogue": "planted",
            "split": how,
        },
        items=pl.DataFrame({"id": ids, "name": names}),
        catalogue=ids,
        notes=("a planted world: item names show the true path and the rank within the leaf",),
        extra=lambda folder: save_arrays(folder / TRUTH, truth),
        force=force,
    )
    return load_dataset(output)
