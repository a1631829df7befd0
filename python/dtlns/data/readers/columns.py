"""From columns as a file has them to checked ids, seconds and numbers; errors name the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from dtlns.data.readers.base import ROLES, IdType, Place, ReadOptions
from dtlns.data.readers.numbers import as_numbers, as_seconds, refuse
from dtlns.errors import DataError

MAX_INT = 2**63 - 1
_USUAL = {
    "user": ("user", "userid", "uid", "username", "reviewerid", "customerid", "visitorid"),
    "item": ("item", "itemid", "iid", "movieid", "productid", "asin", "parentasin", "bookid", "trackid"),
    "rating": ("rating", "ratings", "score", "stars", "overall"),
    "timestamp": ("timestamp", "time", "date", "datetime", "ts", "unixreviewtime", "ratingtimestamp"),
    "weight": ("weight", "weights"),
}
_MISSING = ("", "nan", "null", "none", "na", "n/a")


def resolve_columns(path: Path, names: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Find which column plays which role.

    Args:
        path: The file, for messages.
        names: The column names that are there.
        wanted: Column names by role, as the caller gave them.

    Returns:
        Column name by role; `user` and `item` always, the others where found.

    Raises:
        DataError: A column is missing, or two could be meant.
    """
    unknown = sorted(set(wanted) - set(ROLES))
    if unknown:
        raise DataError(f"unknown column role {unknown[0]!r}", allowed=", ".join(ROLES))
    there = ", ".join(repr(name) for name in list(names)[:20])
    found: dict[str, str] = {}
    for role in ROLES:
        if role in wanted:
            if wanted[role] not in names:
                raise DataError(f"{path} has no column {wanted[role]!r} for {role}", allowed=there)
            found[role] = wanted[role]
            continue
        usual = [name for name in names if name not in wanted.values() and _plain(name) in _USUAL[role]]
        if len(usual) > 1:
            both = " and ".join(repr(name) for name in usual)
            raise DataError(
                f"{path}: the columns {both} could both be the {role}", hint=f"choose with --{role}"
            )
        if usual:
            found[role] = usual[0]
        elif role in ("user", "item"):
            raise DataError(
                f"{path} has no column that looks like the {role}",
                allowed=f"one of the columns {there}",
                hint=f"name it with --{role}",
            )
    if found["user"] == found["item"]:
        raise DataError(f"{path}: column {found['user']!r} cannot be both user and item")
    return found


def column_notes(path: Path, names: Sequence[str], roles: Mapping[str, str]) -> tuple[str, ...]:
    """Say which column was taken for what, and which were not used.

    Args:
        path: The file.
        names: The column names that are there.
        roles: Column name by role.
    """
    used = f"{path.name}: " + ", ".join(f"{role} = {name!r}" for role, name in roles.items())
    ignored = [repr(name) for name in names if name not in roles.values()]
    more = f" and {len(ignored) - 20} more" if len(ignored) > 20 else ""
    return (used, f"{path.name}: columns not used: " + ", ".join(ignored[:20]) + more) if ignored else (used,)


def typed_frame(
    frame: pl.DataFrame, roles: Mapping[str, str], options: ReadOptions, place: Place
) -> pl.DataFrame:
    """Turn raw columns into the columns of a `RawLog`.

    Args:
        frame: Columns as the file has them, strings or typed.
        roles: Column name by role.
        options: Id type and time unit.
        place: Names rows for messages.

    Returns:
        `user`, `item` and the optional columns, checked and typed.

    Raises:
        DataError: A value is missing or cannot be what its column says; the message names the row.
    """
    columns = [as_ids(frame[roles[role]], role, options.id_type, place) for role in ("user", "item")]
    if "rating" in roles:
        columns.append(as_numbers(frame[roles["rating"]], "rating", place))
    if "timestamp" in roles:
        columns.append(as_seconds(frame[roles["timestamp"]], options.time_unit, place))
    if "weight" in roles:
        weight = as_numbers(frame[roles["weight"]], "weight", place)
        refuse(weight, weight <= 0, "weight", "a positive number", place)
        columns.append(weight.cast(pl.Float32))
    return pl.DataFrame(columns)


def as_ids(column: pl.Series, role: str, id_type: IdType, place: Place) -> pl.Series:
    """Return ids as Int64 in 0..2^63-1 or as non-empty strings.

    Args:
        column: Integers or strings.
        role: `user` or `item`; the name of the result.
        id_type: What they shall be; `auto` takes integers where every value is a number.
        place: Names rows for messages.

    Raises:
        DataError: An id is missing, negative, too large, a fraction or of an unusable type.
    """
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype.is_integer():
        refuse(column, column.is_null(), f"{role} id", "an id in every row", place)
        refuse(column, column < 0, f"{role} id", "0 or more", place)
        ids = column.cast(pl.Int64, strict=False)
        refuse(column, ids.is_null(), f"{role} id", f"at most {MAX_INT}", place)
        return (ids.cast(pl.String) if id_type == "string" else ids).alias(role)
    if column.dtype != pl.String:
        raise DataError(
            f"{place.path}: column {column.name!r} is of type {column.dtype}",
            allowed=f"integer or string {role} ids",
            hint="cast the column before the import",
        )
    if id_type != "string":
        # The usual case, without a regular expression over every row: plain digits in every row.
        ids = column.cast(pl.Int64, strict=False)
        if not ids.null_count() and bool((ids >= 0).all()) and bool((ids.cast(pl.String) == column).all()):
            return ids.alias(role)
    text = column.str.strip_chars()
    empty = text.is_null() | (text == "")
    refuse(column, empty, f"{role} id", "an id in every row", place)
    if id_type == "string":
        return text.alias(role)
    numeric = text.str.contains(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    absent = text.str.to_lowercase().is_in(list(_MISSING))
    hint = "if ids are names rather than numbers, use --id-type string"
    refuse(column, absent, f"{role} id", "an id in every row", place, hint)
    if id_type == "auto" and not numeric.all():
        return text.alias(role)
    refuse(column, ~numeric, f"{role} id", "an integer", place, hint)
    refuse(column, text.str.starts_with("-"), f"{role} id", "0 or more", place, hint)
    refuse(column, ~text.str.contains(r"^\d+$"), f"{role} id", "an integer, digits only", place, hint)
    if id_type == "auto" and text.str.contains(r"^0\d").any():
        return text.alias(role)  # 007 and 7 may be two: zero-padded codes are names
    ids = text.cast(pl.Int64, strict=False)
    refuse(column, ids.is_null(), f"{role} id", f"at most {MAX_INT}", place, hint)
    return ids.alias(role)


def _plain(name: str) -> str:
    return name.partition(":")[0].replace("_", "").replace(" ", "").replace("-", "").lower()
