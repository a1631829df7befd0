"""From columns as a file has them to checked ids, seconds and numbers; errors name the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from dtlns.data.readers.base import ROLES, IdType, ReadOptions, TimeUnit
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
_TIME_BANDS = (("s", 1e11, 1), ("ms", 1e14, 10**3), ("us", 1e17, 10**6), ("ns", 9.3e18, 10**9))
_ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")

Where = Callable[[int], str]
"""Names a place for a person, such as `ratings.csv, line 7`, from a row number that starts at 0."""


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


def typed_frame(
    frame: pl.DataFrame, roles: Mapping[str, str], options: ReadOptions, where: Where
) -> pl.DataFrame:
    """Turn raw columns into the columns of a `RawLog`.

    Args:
        frame: Columns as the file has them, strings or typed.
        roles: Column name by role.
        options: Id type and time unit.
        where: Names a row for messages.

    Returns:
        `user`, `item` and the optional columns, checked and typed.

    Raises:
        DataError: A value is missing or cannot be what its column says; the message names the row.
    """
    columns = [as_ids(frame[roles[role]], role, options.id_type, where) for role in ("user", "item")]
    if "rating" in roles:
        columns.append(as_numbers(frame[roles["rating"]], "rating", where))
    if "timestamp" in roles:
        columns.append(as_seconds(frame[roles["timestamp"]], options.time_unit, where))
    if "weight" in roles:
        weight = as_numbers(frame[roles["weight"]], "weight", where)
        _refuse(weight, weight <= 0, "weight", "a positive number", where)
        columns.append(weight.cast(pl.Float32))
    return pl.DataFrame(columns)


def as_ids(column: pl.Series, role: str, id_type: IdType, where: Where) -> pl.Series:
    """Return ids as Int64 in 0..2^63-1 or as non-empty strings.

    Args:
        column: Integers or strings.
        role: `user` or `item`; the name of the result.
        id_type: What they shall be; `auto` takes integers where every value is a number.
        where: Names a row for messages.

    Raises:
        DataError: An id is missing, negative, too large, a fraction or of an unusable type.
    """
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype.is_integer():
        _refuse(column, column.is_null(), f"{role} id", "an id in every row", where)
        _refuse(column, column < 0, f"{role} id", "0 or more", where)
        ids = column.cast(pl.Int64, strict=False)
        _refuse(column, ids.is_null(), f"{role} id", f"at most {MAX_INT}", where)
        return (ids.cast(pl.String) if id_type == "string" else ids).alias(role)
    if column.dtype != pl.String:
        raise DataError(
            f"{where(0).rpartition(',')[0] or where(0)}: column {column.name!r} is of type {column.dtype}",
            allowed=f"integer or string {role} ids",
            hint="cast the column before the import",
        )
    text = column.str.strip_chars()
    empty = text.is_null() | (text == "")
    _refuse(column, empty, f"{role} id", "an id in every row", where)
    if id_type == "string":
        return text.alias(role)
    numeric = text.str.contains(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    absent = text.str.to_lowercase().is_in(list(_MISSING))
    hint = "if ids are names rather than numbers, use --id-type string"
    _refuse(column, absent, f"{role} id", "an id in every row", where, hint)
    if id_type == "auto" and not numeric.all():
        return text.alias(role)
    _refuse(column, ~numeric, f"{role} id", "an integer", where, hint)
    _refuse(column, text.str.starts_with("-"), f"{role} id", "0 or more", where, hint)
    _refuse(column, ~text.str.contains(r"^\d+$"), f"{role} id", "an integer, digits only", where, hint)
    if id_type == "auto" and text.str.contains(r"^0\d").any():
        return text.alias(role)  # 007 and 7 may be two: zero-padded codes are names
    ids = text.cast(pl.Int64, strict=False)
    _refuse(column, ids.is_null(), f"{role} id", f"at most {MAX_INT}", where, hint)
    return ids.alias(role)


def as_numbers(column: pl.Series, role: str, where: Where) -> pl.Series:
    """Return finite Float64 numbers.

    Args:
        column: Numbers or strings.
        role: The name of the result.
        where: Names a row for messages.

    Raises:
        DataError: A value is missing, no number, or not finite.
    """
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        raise DataError(f"column {column.name!r} is of type {column.dtype}", allowed=f"numbers for {role}")
    text = column.str.strip_chars() if column.dtype == pl.String else column
    numbers = text.cast(pl.Float64, strict=False)
    _refuse(column, numbers.is_null() | ~numbers.is_finite(), role, "a finite number", where)
    return numbers.alias(role)


def as_seconds(column: pl.Series, unit: TimeUnit, where: Where) -> pl.Series:
    """Return whole seconds since 1970-01-01 UTC, rounded down.

    Args:
        column: Numbers, ISO 8601 strings (UTC where they name no zone), dates or datetimes.
        unit: Unit of numbers; `auto` tells seconds, milliseconds, micro- and nanoseconds by their size.
        where: Names a row for messages.

    Raises:
        DataError: A value is missing or cannot be read, or the unit cannot be told.
    """
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        _refuse(column, column.is_null(), "timestamp", "a time in every row", where)
        return column.cast(pl.Datetime("us")).dt.epoch("s").cast(pl.Int64).alias("timestamp")
    if column.dtype == pl.String:
        looks_numeric = column.str.contains(r"^\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*$").fill_null(False)
        if unit == "iso" or (unit == "auto" and not looks_numeric[:1].all()):
            return _from_iso(column, where)
        numbers = column.str.strip_chars().cast(pl.Int64, strict=False)
        if numbers.null_count():
            numbers = as_numbers(column, "timestamp", where)
    elif column.dtype.is_numeric() and unit != "iso":
        numbers = column
        if column.dtype.is_float() or column.null_count():
            numbers = as_numbers(column, "timestamp", where)
    else:
        raise DataError(
            f"column {column.name!r} is of type {column.dtype}", allowed=f"timestamps of unit {unit}"
        )
    low, high = _extremes(numbers)
    if unit == "auto":
        band = [sum(bound <= value for _, bound, _ in _TIME_BANDS) for value in (low, high)]
        if band[0] != band[1] and not (low == 0 and high < _TIME_BANDS[0][1]):
            raise DataError(
                f"timestamps of magnitude {low:.0f} to {high:.0f} do not tell their unit",
                allowed="s, ms, us, ns or iso",
                hint="name it with --time-unit",
            )
        factor = _TIME_BANDS[min(band[1], 3)][2]
    else:
        factor = {name: factor for name, _, factor in _TIME_BANDS}[unit]
    limit = MAX_INT if not numbers.dtype.is_float() else 9.2e18
    _refuse(column, numbers.abs() > limit, "timestamp", "a time within 64 bits", where)
    seconds = numbers // factor if factor > 1 else numbers
    return (seconds.floor() if seconds.dtype.is_float() else seconds).cast(pl.Int64).alias("timestamp")


def _extremes(numbers: pl.Series) -> tuple[float, float]:
    magnitudes = numbers.abs()
    low, high = magnitudes.min(), magnitudes.max()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    return float(low), float(high)


def _from_iso(column: pl.Series, where: Where) -> pl.Series:
    text = column.str.strip_chars()
    utc = pl.Datetime("us", "UTC")
    readings = [
        text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    ]
    readings += [
        text.str.to_datetime(form, time_unit="us", strict=False).dt.replace_time_zone("UTC").cast(utc)
        for form in _ISO_FORMATS
    ]
    readings.append(
        text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    zoned = text.str.replace(" ", "T", literal=True)
    readings.append(
        zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)
    )
    names = [f"r{i}" for i in range(len(readings))]
    table = pl.DataFrame(
        [reading.cast(utc).alias(name) for reading, name in zip(readings, names, strict=True)]
    )
    time = table.select(pl.coalesce(names)).to_series()
    _refuse(column, time.is_null(), "timestamp", "ISO 8601, such as 2016-10-17T12:30:00Z", where)
    return time.dt.epoch("s").cast(pl.Int64).alias("timestamp")


def _plain(name: str) -> str:
    return name.partition(":")[0].replace("_", "").replace(" ", "").replace("-", "").lower()


def _refuse(
    column: pl.Series, bad: pl.Series, what: str, allowed: str, where: Where, hint: str | None = None
) -> None:
    first = bad.fill_null(True).arg_max() if bad.fill_null(True).any() else None
    if first is not None:
        value = column[first]
        shown = "missing" if value is None or value == "" else repr(value)[:80]
        raise DataError(f"{where(first)}: {what} is {shown}", allowed=allowed, hint=hint)
