"""Example data that lies beside the package in a checkout: found, listed, imported by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dtlns.data.dataset import Dataset
from dtlns.data.importing import ImportOptions, import_dataset
from dtlns.errors import DataError

PREFIX = "bundled:"
SOURCE = "source.toml"
_HINT = (
    "run inside a checkout of the repository, give its folder with --examples, or use `dtlns data planted`"
)


@dataclass(frozen=True)
class BundledSource:
    """One example data source.

    Attributes:
        name: Its name after `bundled:`.
        title: One line for people.
        terms: One line on the conditions of use.
        log: The log file.
        items: The item table, or None.
        min_rating: Rating threshold that it is meant to be used with, or None.
        k_core: k-core that it is meant to be used with.
    """

    name: str
    title: str
    terms: str
    log: Path
    items: Path | None
    min_rating: float | None
    k_core: int


def find_examples(root: Path | str | None = None) -> Path:
    """Return the folder with the example data.

    Args:
        root: The folder itself; without it, `examples/data` of the checkout that the package runs from, then
            of the working directory and the folders above it.

    Raises:
        DataError: There is none; wheels do not carry it because its terms differ from the package's.
    """
    if root is not None:
        root = Path(root)
        if not any(root.glob(f"*/{SOURCE}")):
            raise DataError(f"{root} holds no example data", allowed=f"a folder with NAME/{SOURCE}")
        return root
    here = Path.cwd()
    for base in (Path(__file__).resolve().parents[3], here, *here.parents):
        folder = base / "examples" / "data"
        if any(folder.glob(f"*/{SOURCE}")):
            return folder
    raise DataError("the example data is not here: it is no part of the installed package", hint=_HINT)


def list_bundled(root: Path | str | None = None) -> list[BundledSource]:
    """Return the example sources by name.

    Args:
        root: The folder with the example data, or None to look for it.

    Raises:
        DataError: There is no such folder, or a description in it is broken.
    """
    return [_read(file) for file in sorted(find_examples(root).glob(f"*/{SOURCE}"))]


def bundled_source(name: str, root: Path | str | None = None) -> BundledSource:
    """Return one example source.

    Args:
        name: Its name, with or without `bundled:`.
        root: The folder with the example data, or None to look for it.

    Raises:
        DataError: There is no source of that name.
    """
    name = name.removeprefix(PREFIX)
    sources = {source.name: source for source in list_bundled(root)}
    if name not in sources:
        raise DataError(f"no example data set is called {name!r}", allowed=", ".join(sources))
    return sources[name]


def import_bundled(
    name: str,
    output: Path | str,
    options: ImportOptions | None = None,
    *,
    root: Path | str | None = None,
    force: bool = False,
) -> Dataset:
    """Import an example data set with the filters that it is meant to be used with.

    Args:
        name: Its name, with or without `bundled:`.
        output: Where the data set shall be.
        options: Other filters; a threshold or k-core that is not set here is the source's own.
        root: The folder with the example data, or None to look for it.
        force: Replace a data set that is there.

    Returns:
        The data set, opened.

    Raises:
        DataError: There is no source of that name.
        ArtifactError: `output` exists and `force` is false.

    Example:
        >>> import_bundled("movielens-small", "movielens").train.n_interactions  # doctest: +SKIP
        44413
    """
    source = bundled_source(name, root)
    options = options or ImportOptions()
    cored = max(options.core_users, options.core_items) > 1
    options = replace(
        options,
        name=options.name or source.name,
        items=options.items or source.items,
        min_rating=source.min_rating if options.min_rating is None else options.min_rating,
        core_users=options.core_users if cored else source.k_core,
        core_items=options.core_items if cored else source.k_core,
    )
    return import_dataset(source.log, output, options, force=force)


def _read(file: Path) -> BundledSource:
    try:
        facts: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return BundledSource(
            name=file.parent.name,
            title=str(facts["title"]),
            terms=str(facts["terms"]),
            log=file.parent / facts["log"],
            items=file.parent / facts["items"] if "items" in facts else None,
            min_rating=float(facts["min_rating"]) if "min_rating" in facts else None,
            k_core=int(facts.get("k_core", 1)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} cannot be read ({error})") from error
