"""Known sizes of real data: the bundled MovieLens, and measuring data where it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dtlns.data.bundled import bundled_source, find_examples, import_bundled, list_bundled
from dtlns.data.importing import ImportOptions, import_dataset
from dtlns.data.splits import split_dataset
from dtlns.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "data"
SHARED = ROOT.parent / "shared" / "data"


def test_movielens_tables_are_whole() -> None:
    folder = EXAMPLES / "movielens-small"
    ratings = pl.read_parquet(folder / "ratings.parquet")
    movies = pl.read_parquet(folder / "movies.parquet")
    assert ratings.height == 100_004
    assert ratings["userId"].n_unique() == 671
    assert ratings["movieId"].n_unique() == movies.height == 9_066
    assert set(ratings["rating"].unique().to_list()) == {x / 2 for x in range(1, 11)}
    assert movies.filter(pl.col("movieId") == 1).row(0)[1:3] == ("Toy Story", 1995)
    assert "commercial" in (folder / "TERMS.md").read_text()


def test_movielens_as_it_is_meant_to_be_used(tmp_path: Path) -> None:
    data = import_bundled("bundled:movielens-small", tmp_path / "d", root=EXAMPLES)
    assert (data.train.n_users, data.train.n_items, data.train.n_interactions) == (659, 2_078, 44_413)
    assert data.name == "movielens-small"
    shawshank = data.items.filter(pl.col("id") == 318)["name"].to_list()
    assert shawshank == ["Shawshank Redemption, The"]
    split = split_dataset(data, tmp_path / "s", by="random", seed=0)
    assert split.train.n_users == 659
    assert split.valid is not None
    assert split.test is not None
    assert abs(split.test.n_interactions / 44_413 - 0.2) < 0.002


def test_itemknn_on_movielens_reaches_what_is_known(tmp_path: Path) -> None:
    """About 0.21 / 0.19 in Recall@20 / NDCG@20: the split and the filters are the usual ones."""
    data = import_bundled("movielens-small", tmp_path / "d", root=EXAMPLES)
    split = split_dataset(data, tmp_path / "s", by="random", seed=0)
    matrix = split.train.csr().toarray().astype(np.float64)
    norms = np.sqrt(matrix.sum(0))
    similarity = matrix.T @ matrix / np.maximum(np.outer(norms, norms), 1)
    np.fill_diagonal(similarity, 0)
    scores = np.where(matrix > 0, -np.inf, matrix @ similarity)
    top = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    assert split.test is not None
    gains = 1 / np.log2(np.arange(2, 22))
    recalls, ndcgs = [], []
    for user in split.test.users().tolist():
        positives = split.test.indices[split.test.indptr[user] : split.test.indptr[user + 1]]
        hits = np.isin(top[user], positives)
        recalls.append(hits.sum() / len(positives))
        ndcgs.append((hits * gains).sum() / gains[: len(positives)].sum())
    assert np.mean(recalls) == pytest.approx(0.21, abs=0.012)
    assert np.mean(ndcgs) == pytest.approx(0.19, abs=0.012)


def test_other_filters_can_be_asked_for(tmp_path: Path) -> None:
    options = ImportOptions(min_rating=5.0, core_users=2, core_items=1)
    data = import_bundled("movielens-small", tmp_path / "d", options, root=EXAMPLES)
    ratings = pl.read_parquet(EXAMPLES / "movielens-small" / "ratings.parquet").filter(pl.col("rating") == 5)
    expected = ratings.filter(pl.len().over("userId") >= 2).height
    assert data.train.n_interactions == expected


def test_where_examples_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [source.name for source in list_bundled(EXAMPLES)] == ["movielens-small"]
    monkeypatch.chdir(ROOT / "tests")
    assert (find_examples() / "movielens-small").is_dir()
    with pytest.raises(DataError, match="holds no example data"):
        find_examples(tmp_path)
    with pytest.raises(DataError, match=r"'netflix'.*movielens-small"):
        bundled_source("netflix", EXAMPLES)
    monkeypatch.setattr("dtlns.data.bundled.__file__", str(tmp_path / "a" / "b" / "c" / "bundled.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="dtlns data planted"):
        find_examples()


@pytest.mark.skipif(not (SHARED / "amazon-sports").is_dir(), reason="measuring data is not here")
def test_amazon_sports_has_its_known_size(tmp_path: Path) -> None:
    data = import_dataset(SHARED / "amazon-sports", tmp_path / "d")
    assert data.artifact.config["format"] == "dtl-ns"
    assert (data.train.n_users, data.train.n_items, data.train.n_interactions) == (15_138, 8_439, 171_621)
    assert (data.n_users, data.n_items) == (15_138, 8_439)
    assert data.valid is not None
    assert data.test is not None
    assert data.valid.n_interactions == 19_370
    assert data.test.n_interactions == 19_448
    assert len(data.test.users()) == 10_507
    assert data.items["id"].to_list() == list(range(15_138, 15_138 + 8_439))
    assert data.notes == ()


@pytest.mark.skipif(not (SHARED / "gowalla").is_dir(), reason="measuring data is not here")
def test_gowalla_has_its_known_size(tmp_path: Path) -> None:
    data = import_dataset(SHARED / "gowalla", tmp_path / "d")
    assert data.artifact.config["format"] == "lightgcn"
    assert (data.train.n_users, data.train.n_items, data.train.n_interactions) == (29_858, 40_981, 810_128)
    assert data.valid is None
    assert data.test is not None
    assert data.test.n_interactions == 217_242
