"""A model's vectors for other tools: as arrays or tables with the source's own ids, or as a search index.

The score of an item for a user is the inner product of their vectors, for every model that has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError, InputError
from dtlns.models.base import Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.prior import WithPrior
from dtlns.recommendation import own_ids
from dtlns.whole_file import check_free_file, whole_file

_HEADER = 90_000_000  # bytes; safetensors reads no header above 100 MB
Writer = Callable[[EmbeddingScorer, pl.Series, pl.Series, list[Path]], None]


def write_vectors(out: Path, scorer: Scorer, train: TrainView, *, force: bool = False) -> list[Path]:
    """Write the vectors of users and items with their ids; the suffix of `out` is the format.

    - `NAME.safetensors`: float32 `user_vectors` [U, D] and `item_vectors` [I, D]; int64 `user_ids` [U] and
      `item_ids` [I], or, where ids are text, JSON lists in the file's metadata, key `ids`.
    - `NAME.parquet`: `NAME.users.parquet` and `NAME.items.parquet`, `id` and `vector`, an array of D float32.
    - `NAME.npy`: `NAME.users.npy`, `NAME.items.npy`, `NAME.user_ids.npy` and `NAME.item_ids.npy`.

    Args:
        out: Names format and files.
        scorer: A model with vectors.
        train: The training interactions; they know the ids.
        force: Replace files that are there.

    Returns:
        The files, each whole.

    Raises:
        InputError: The model has no vectors, the suffix names no format, or the ids are too many for it.
        ArtifactError: A file exists and `force` is false.
    """
    return _write(VECTORS, out, scorer, train, force)


def write_index(out: Path, scorer: Scorer, train: TrainView, *, force: bool = False) -> list[Path]:
    """Write an index that finds the items with the highest inner product; the suffix of `out` is its kind.

    - `NAME.faiss`: exact, by looking at all of them (`IndexFlatIP`).
    - `NAME.usearch`: approximate, a graph (HNSW) with the library's settings, built by one thread so that the
      same vectors give the same bytes.

    The index answers with positions. Their ids are beside it, column `id` of `NAME.faiss.ids.parquet` or
    `NAME.usearch.ids.parquet`.

    Args:
        out: Names the kind and the file.
        scorer: A model with vectors.
        train: The training interactions; they know the ids.
        force: Replace files that are there.

    Returns:
        The files, each whole.

    Raises:
        InputError: The model has no vectors, or the suffix names no kind.
        ConfigError: The library is not installed.
        ArtifactError: A file exists and `force` is false.
    """
    return _write(INDEXES, out, scorer, train, force)


def _write(
    kinds: dict[str, tuple[tuple[str, ...], Writer]], out: Path, scorer: Scorer, train: TrainView, force: bool
) -> list[Path]:
    if not isinstance(scorer, EmbeddingScorer):
        raise InputError(
            f"the model, {type(scorer).__name__}, has no vectors",
            allowed="a model of embeddings: ials, or one that is trained by epochs, such as mf or lightgcn",
            hint="the host without its prior has some: RUN/models/host or RUN/models/plain"
            if isinstance(scorer, WithPrior)
            else None,
        )
    if out.suffix.lower() not in kinds:
        raise InputError(f"{out}: the suffix {out.suffix!r} is not known", allowed=", ".join(kinds))
    endings, write = kinds[out.suffix.lower()]
    files = [out.with_suffix(ending) for ending in endings]
    for file in files:
        check_free_file(file, force=force)
    with _whole_files(files) as partials:
        write(
            scorer,
            own_ids(train.user_ids, train.n_users),
            own_ids(train.item_ids, train.n_items),
            partials,
        )
    return files


@contextmanager
def _whole_files(paths: list[Path]) -> Iterator[list[Path]]:
    """Give files their names when all of them are whole."""
    with ExitStack() as stack:
        yield [stack.enter_context(whole_file(path)) for path in paths]


def _safetensors(scorer: EmbeddingScorer, users: pl.Series, items: pl.Series, to: list[Path]) -> None:
    arrays = {"user_vectors": scorer.user_vectors, "item_vectors": scorer.item_vectors}
    text: dict[str, list[str]] = {}
    for name, ids in (("user_ids", users), ("item_ids", items)):
        if ids.dtype == pl.String:
            text[name] = ids.to_list()
        else:
            arrays[name] = ids.to_numpy()
    # one key: with several, their order, and so the bytes, would differ from run to run
    metadata = {"ids": json.dumps(text, ensure_ascii=False)} if text else None
    if metadata is not None and len(metadata["ids"].encode()) > _HEADER:
        raise InputError("the ids are too long for the header of a safetensors file", hint="write .parquet")
    to[0].write_bytes(save(arrays, metadata))


def _parquet(scorer: EmbeddingScorer, users: pl.Series, items: pl.Series, to: list[Path]) -> None:
    tables = (scorer.user_vectors, scorer.item_vectors)
    for ids, vectors, path in zip((users, items), tables, to, strict=True):
        column = pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
        # Fixed row groups and no statistics: bytes are a function of the rows alone.
        pl.DataFrame([ids, column]).write_parquet(path, row_group_size=1 << 16, statistics=False)


def _npy(scorer: EmbeddingScorer, users: pl.Series, items: pl.Series, to: list[Path]) -> None:
    ids = [np.array(column.to_list()) for column in (users, items)]
    for array, path in zip((scorer.user_vectors, scorer.item_vectors, *ids), to, strict=True):
        with path.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)


def _faiss(scorer: EmbeddingScorer, users: pl.Series, items: pl.Series, to: list[Path]) -> None:
    try:
        import faiss
    except ImportError as error:
        raise _missing("faiss", error) from error
    index = faiss.IndexFlatIP(scorer.item_vectors.shape[1])
    index.add(scorer.item_vectors)
    faiss.write_index(index, str(to[0]))
    items.to_frame().write_parquet(to[1], statistics=False)


def _usearch(scorer: EmbeddingScorer, users: pl.Series, items: pl.Series, to: list[Path]) -> None:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise _missing("usearch", error) from error
    index = Index(ndim=scorer.item_vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(scorer.n_items, dtype=np.uint64), scorer.item_vectors, threads=1)
    index.save(str(to[0]))
    items.to_frame().write_parquet(to[1], statistics=False)


def _missing(library: str, error: ImportError) -> ConfigError:
    return ConfigError(
        f"an index .{library} needs the library {library} ({error})", hint="pip install 'dtlns[index]'"
    )


# by suffix: the endings of the files, and what writes them
VECTORS: dict[str, tuple[tuple[str, ...], Writer]] = {
    ".safetensors": ((".safetensors",), _safetensors),
    ".parquet": ((".users.parquet", ".items.parquet"), _parquet),
    ".npy": ((".users.npy", ".items.npy", ".user_ids.npy", ".item_ids.npy"), _npy),
}
INDEXES: dict[str, tuple[tuple[str, ...], Writer]] = {
    ".faiss": ((".faiss", ".faiss.ids.parquet"), _faiss),
    ".usearch": ((".usearch", ".usearch.ids.parquet"), _usearch),
}
