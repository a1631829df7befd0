"""Vectors and indexes, read back as another tool would."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from safetensors import safe_open
from safetensors.numpy import load_file

from dtlns import exporting
from dtlns.data.views import TrainView
from dtlns.errors import ArtifactError, ConfigError, InputError
from dtlns.exporting import write_index, write_vectors
from dtlns.models.ease import EASE
from dtlns.models.embedding import EmbeddingScorer

USERS, ITEMS, SIZE = 12, 200, 8


@pytest.fixture(scope="module")
def scorer() -> EmbeddingScorer:
    random = np.random.default_rng(0)
    return EmbeddingScorer(*(random.standard_normal((n, SIZE), dtype=np.float32) for n in (USERS, ITEMS)))


@pytest.fixture(scope="module")
def train() -> TrainView:
    """Users are text, one with a comma and one outside ASCII; items are numbers beyond 32 bits."""
    plain = TrainView.from_csr(sp.csr_array(np.eye(USERS, ITEMS, dtype=np.float32)))
    users = np.array([f"user, {n}" for n in range(USERS - 1)] + ["Jürgen"], dtype=object)
    items = np.arange(ITEMS)[::-1] + 2**40
    return TrainView(plain.indptr, plain.indices, ITEMS, user_ids=users, item_ids=items)


def test_safetensors(tmp_path: Path, scorer: EmbeddingScorer, train: TrainView) -> None:
    out = tmp_path / "v.safetensors"
    assert write_vectors(out, scorer, train) == [out]
    arrays = load_file(out)
    np.testing.assert_array_equal(arrays["user_vectors"], scorer.user_vectors)
    np.testing.assert_array_equal(arrays["item_vectors"], scorer.item_vectors)
    np.testing.assert_array_equal(arrays["item_ids"], train.item_ids)
    with safe_open(out, framework="np") as file:
        text = json.loads(file.metadata()["ids"])
    assert train.user_ids is not None
    assert text == {"user_ids": train.user_ids.tolist()}
    plain = TrainView(train.indptr, train.indices, ITEMS)
    arrays = load_file(write_vectors(tmp_path / "plain.safetensors", scorer, plain)[0])
    assert arrays["user_ids"].tolist() == list(range(USERS))


def test_parquet(tmp_path: Path, scorer: EmbeddingScorer, train: TrainView) -> None:
    files = write_vectors(tmp_path / "v.1.parquet", scorer, train)
    assert [file.name for file in files] == ["v.1.users.parquet", "v.1.items.parquet"]
    users, items = map(pl.read_parquet, files)
    assert items.schema == {"id": pl.Int64, "vector": pl.Array(pl.Float32, SIZE)}
    assert users.schema == {"id": pl.String, "vector": pl.Array(pl.Float32, SIZE)}
    np.testing.assert_array_equal(users["vector"].to_numpy(), scorer.user_vectors)
    one = items.filter(pl.col("id") == 2**40)["vector"][0].to_list()
    assert one == scorer.item_vectors[ITEMS - 1].tolist()
    assert users["id"][-1] == "Jürgen"


def test_npy(tmp_path: Path, scorer: EmbeddingScorer, train: TrainView) -> None:
    files = write_vectors(tmp_path / "v.npy", scorer, train)
    assert [file.name for file in files] == ["v.users.npy", "v.items.npy", "v.user_ids.npy", "v.item_ids.npy"]
    users, items, user_ids, item_ids = (np.load(file, allow_pickle=False) for file in files)
    np.testing.assert_array_equal(users, scorer.user_vectors)
    np.testing.assert_array_equal(items, scorer.item_vectors)
    np.testing.assert_array_equal(user_ids, train.user_ids)
    np.testing.assert_array_equal(item_ids, train.item_ids)


def test_an_exact_faiss_index(tmp_path: Path, scorer: EmbeddingScorer, train: TrainView) -> None:
    faiss = pytest.importorskip("faiss")
    files = write_index(tmp_path / "i.faiss", scorer, train)
    assert [file.name for file in files] == ["i.faiss", "i.faiss.ids.parquet"]
    scores, places = faiss.read_index(str(files[0])).search(scorer.user_vectors, 10)
    exact = scorer.user_vectors @ scorer.item_vectors.T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(places, best)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, best, axis=1), rtol=1e-5)
    ids = pl.read_parquet(files[1])["id"]
    assert ids.gather(places[0]).to_list() == [2**40 + ITEMS - 1 - place for place in best[0]]


def test_a_usearch_index(tmp_path: Path, scorer: EmbeddingScorer, train: TrainView) -> None:
    usearch = pytest.importorskip("usearch.index")
    files = write_index(tmp_path / "i.usearch", scorer, train)
    index = usearch.Index.restore(str(files[0]))
    exact = scorer.user_vectors @ scorer.item_vectors.T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    found = index.search(scorer.user_vectors, 10, exact=True)
    np.testing.assert_array_equal(found.keys, best)
    np.testing.assert_allclose(1 - found.distances, np.take_along_axis(exact, best, axis=1), atol=1e-5)
    near = index.search(scorer.user_vectors, 10).keys
    hits = [len(set(row) & set(wanted)) for row, wanted in zip(near.tolist(), best.tolist(), strict=True)]
    assert np.mean(hits) >= 9
    assert pl.read_parquet(files[1])["id"].to_list() == train.item_ids.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["v.safetensors", "v.parquet", "v.npy", "v.faiss", "v.usearch"])
def test_same_vectors_same_bytes(
    tmp_path: Path, scorer: EmbeddingScorer, train: TrainView, name: str
) -> None:
    write = write_index if name in ("v.faiss", "v.usearch") else write_vectors
    first = write(tmp_path / "a" / name, scorer, train)
    second = write(tmp_path / "b" / name, scorer, train)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert sorted(first) == sorted((tmp_path / "a").iterdir())


def test_what_cannot_be_written_is_refused(
    tmp_path: Path, scorer: EmbeddingScorer, train: TrainView, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"the model, EASE, has no vectors · allowed: .* mf or lightgcn"):
        write_vectors(tmp_path / "v.parquet", EASE.fit(train), train)
    with pytest.raises(InputError, match=r"'.csv' is not known · allowed: .safetensors, .parquet, .npy"):
        write_vectors(tmp_path / "v.csv", scorer, train)
    with pytest.raises(InputError, match=r"allowed: .faiss, .usearch"):
        write_index(tmp_path / "v.npy", scorer, train)
    for library in ("faiss", "usearch"):
        monkeypatch.setitem(sys.modules, library, None)
        monkeypatch.setitem(sys.modules, f"{library}.index", None)
        with pytest.raises(ConfigError, match=rf"needs the library {library} .*pip install 'dtlns\[index\]'"):
            write_index(tmp_path / f"i.{library}", scorer, train)
    monkeypatch.setattr(exporting, "_HEADER", 100)
    with pytest.raises(InputError, match=r"too long .* hint: write .parquet"):
        write_vectors(tmp_path / "v.safetensors", scorer, train)
    assert not list(tmp_path.iterdir())
    (tmp_path / "v.items.npy").touch()
    with pytest.raises(ArtifactError, match=r"v.items.npy exists"):
        write_vectors(tmp_path / "v.npy", scorer, train)
    assert len(write_vectors(tmp_path / "v.npy", scorer, train, force=True)) == 4


def test_no_file_is_left_when_one_fails(
    tmp_path: Path, scorer: EmbeddingScorer, train: TrainView, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def full(stream: object, array: object, **options: object) -> None:
        written.append(array)
        if len(written) == 3:
            raise OSError("the disk is full")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="disk is full"):
        write_vectors(tmp_path / "v.npy", scorer, train)
    assert len(written) == 3
    assert not list(tmp_path.iterdir())
