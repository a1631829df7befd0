"""Tables of users or items: an id, perhaps a name, and whatever else is there."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dtlns.data.readers.base import Place
from dtlns.data.readers.columns import as_ids
from dtlns.data.readers.parquet import parquet_table
from dtlns.data.readers.text import check_file
from dtlns.data.readers.text_table import open_text_table
from dtlns.errors import DataError

_IDS = {
    "item": (
        "id",
        "item",
        "itemid",
        "iid",
        "movieid",
        "productid",
        "asin",
        "parentasin",
        "bookid",
        "trackid",
    ),
    "user": ("id", "user", "userid", "uid", "reviewerid", "customerid", "visitorid"),
}
_NAMES = ("name", "title", "itemname", "movietitle", "producttitle", "booktitle", "itemtitle", "username")


def read_table(path: Path, role: str, *, own: str | None = None) -> pl.DataFrame:
    """Read a table of users or items from CSV, TSV, Parquet or a RecBole `.item`/`.user` file.

    Args:
        path: The file.
        role: `user` or `item`.
        own: What the log calls the column of the ids; where there is none of that name, it is recognised by
            its usual ones.

    Returns:
        Column `id` (Int64 or String), `name` (String) where there is one, then the others, one row an id.

    Raises:
        DataError: The file cannot be read, has no ids, or has an id twice.
    """
    check_file(path)
    with path.open("rb") as stream:
        is_parquet = stream.read(4) == b"PAR1"
    if is_parquet or path.suffix.lower() in (".parquet", ".pq"):
        table, place = parquet_table(path), Place(path)
    elif path.suffix in (".item", ".user"):  # RecBole: tabs, typed names, no quotes
        table, place = open_text_table(path, separator="\t", quote=None).read()
        table = table.rename({name: name.partition(":")[0] for name in table.columns})
    else:
        table, place = open_text_table(path).read()
    ids = own if own in table.columns else _find(table.columns, _IDS[role])
    name = _find(table.columns, _NAMES)
    if ids is None:
        there = ", ".join(map(repr, table.columns[:20]))
        raise DataError(
            f"{path} has no column that looks like the {role} id",
            allowed=f"one of the columns {there}",
            hint=f"name it as the log does (--{role}), or {role}_id",
        )
    column = as_ids(table[ids], role, "auto", place).alias("id")
    if column.n_unique() != len(column):
        twice = column.filter(column.is_duplicated())[0]
        raise DataError(f"{path}: the {role} id {twice!r} is there twice", allowed="one row per id")
    parts = [column]
    if name is not None:
        parts.append(table[name].cast(pl.String).alias("name"))
    taken = {ids, name, "id", "name"}
    parts += [
        table[other] for other in table.columns if other not in taken and not table[other].dtype.is_nested()
    ]
    return pl.DataFrame(parts)


def _find(names: list[str], usual: tuple[str, ...]) -> str | None:
    plain = {name: name.replace("_", "").replace(" ", "").lower() for name in names}
    return next((name for candidate in usual for name in names if plain[name] == candidate), None)
