"""What is true about a planted data set, kept in its folder by id and read in index order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import load_arrays
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.errors import ArtifactError

TRUTH = "truth.safetensors"


@dataclass(frozen=True, eq=False)
class PlantedTruth:
    """What is true in a planted world, in the index order of the data set.

    Attributes:
        paths: uint32 [I, 3], child indexes of each item from the top.
        ranks: uint32 [I], popularity rank of each item within its leaf, from 0.
        liked_indptr: int64 [U + 1], where each user's liked items begin.
        liked: uint32, liked items, increasing within a user.
        exposed: bool, whether the user can have met the liked item beside it.
        homes: uint32 [U, home branches].
    """

    paths: NDArray[np.uint32]
    ranks: NDArray[np.uint32]
    liked_indptr: NDArray[np.int64]
    liked: NDArray[np.uint32]
    exposed: NDArray[np.bool_]
    homes: NDArray[np.uint32]

    def path_tuples(self) -> list[tuple[int, ...]]:
        """Return each item's path as a tuple, for `PathCodes.from_paths`."""
        return [tuple(path) for path in self.paths.tolist()]


def load_truth(dataset: Dataset | Path | str) -> PlantedTruth:
    """Read what is true about a planted data set, whatever split was made of it.

    Args:
        dataset: Data set or its folder.

    Returns:
        The truth in index order.

    Raises:
        ArtifactError: The data set is not a planted one.
    """
    dataset = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    file = dataset.path / TRUTH
    if not file.is_file():
        raise ArtifactError(
            f"{dataset.path} is not a planted data set", hint="make one with `dtlns data planted`"
        )
    arrays = load_arrays(file)
    items, users = dataset.items["id"].to_numpy(), dataset.users["id"].to_numpy()
    index_of = np.zeros(len(arrays["paths"]), dtype=np.uint32)
    index_of[items] = np.arange(len(items), dtype=np.uint32)
    liked = index_of[arrays["liked"][users]]
    order = np.argsort(liked, axis=1)
    return PlantedTruth(
        paths=arrays["paths"][items],
        ranks=arrays["ranks"][items],
        liked_indptr=np.arange(len(users) + 1, dtype=np.int64) * liked.shape[1],
        liked=np.take_along_axis(liked, order, axis=1).ravel(),
        exposed=np.take_along_axis(arrays["exposed"][users], order, axis=1).ravel(),
        homes=arrays["homes"][users],
    )


def copy_truth(source: Path, folder: Path) -> None:
    """Copy the truth into another data set made from the same world; it is stored by id, not by index."""
    (folder / TRUTH).write_bytes((source / TRUTH).read_bytes())
