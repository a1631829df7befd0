"""Numbers and times of a log: finite, whole seconds, errors that name the row."""

from __future__ import annotations

import polars as pl

from dtlns.data.readers.base import Place, TimeUnit
from dtlns.errors import DataError

MAX_INT = 2**63 - 1
_TIME_BANDS = (("s", 1e11, 1), ("ms", 1e14, 10**3), ("us", 1e17, 10**6), ("ns", 9.3e18, 10**9))
_ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")


def as_numbers(column: pl.Series, role: str, place: Place) -> pl.Series:
    """Return finite Float64 numbers.

    Args:
        column: Numbers or strings.
        role: The name of the result.
        place: Names rows for messages.

    Raises:
        DataError: A value is missing, no number, or not finite.
    """
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        raise DataError(
            f"{place.path}: column {column.name!r} is of type {column.dtype}", allowed=f"numbers for {role}"
        )
    text = column.str.strip_chars() if column.dtype == pl.String else column
    numbers = text.cast(pl.Float64, strict=False)
    refuse(column, numbers.is_null() | ~numbers.is_finite(), role, "a finite number", place)
    return numbers.alias(role)


def as_seconds(column: pl.Series, unit: TimeUnit, place: Place) -> pl.Series:
    """Return whole seconds since 1970-01-01 UTC, rounded down.

    Args:
        column: Numbers, ISO 8601 strings (UTC where they name no zone), dates or datetimes.
        unit: Unit of numbers; `auto` tells seconds, milliseconds, micro- and nanoseconds by their size.
        place: Names rows for messages.

    Raises:
        DataError: A value is missing or cannot be read, or the unit cannot be told.
    """
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        refuse(column, column.is_null(), "timestamp", "a time in every row", place)
        return column.cast(pl.Datetime("us")).dt.epoch("s").cast(pl.Int64).alias("timestamp")
    if column.dtype == pl.String:
        first = column.head(1).str.contains(r"^\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*$").fill_null(False)
        if unit == "iso" or (unit == "auto" and not first.all()):
            return _from_iso(column, place)
        numbers = column.str.strip_chars().cast(pl.Int64, strict=False)
        if numbers.null_count():
            numbers = as_numbers(column, "timestamp", place)
    elif column.dtype.is_numeric() and unit != "iso":
        numbers = column
        if column.dtype.is_float() or column.null_count():
            numbers = as_numbers(column, "timestamp", place)
    else:
        raise DataError(
            f"{place.path}: column {column.name!r} is of type {column.dtype}",
            allowed=f"timestamps of unit {unit}",
        )
    low, high = _extremes(numbers)
    if unit == "auto":
        band = [sum(bound <= value for _, bound, _ in _TIME_BANDS) for value in (low, high)]
        if band[0] != band[1] and not (low == 0 and high < _TIME_BANDS[0][1]):
            raise DataError(
                f"{place.path}: timestamps of magnitude {low:.0f} to {high:.0f} do not tell their unit",
                allowed="s, ms, us, ns or iso",
                hint="name it with --time-unit",
            )
        factor = _TIME_BANDS[min(band[1], 3)][2]
    else:
        factor = {name: factor for name, _, factor in _TIME_BANDS}[unit]
    limit = MAX_INT if not numbers.dtype.is_float() else 9.2e18
    refuse(column, numbers.abs() > limit, "timestamp", "a time within 64 bits", place)
    seconds = numbers // factor if factor > 1 else numbers
    return (seconds.floor() if seconds.dtype.is_float() else seconds).cast(pl.Int64).alias("timestamp")


def _extremes(numbers: pl.Series) -> tuple[float, float]:
    magnitudes = numbers.abs()
    low, high = magnitudes.min(), magnitudes.max()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    return float(low), float(high)


def _from_iso(column: pl.Series, place: Place) -> pl.Series:
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
    refuse(column, time.is_null(), "timestamp", "ISO 8601, such as 2016-10-17T12:30:00Z", place)
    return time.dt.epoch("s").cast(pl.Int64).alias("timestamp")


def refuse(
    column: pl.Series, bad: pl.Series, what: str, allowed: str, place: Place, hint: str | None = None
) -> None:
    """Raise for the first bad value of a column.

    Args:
        column: Values as the file has them.
        bad: bool, of the same length; null counts as bad.
        what: What the column is.
        allowed: What would have been accepted.
        place: Names rows for messages.
        hint: What to do next.

    Raises:
        DataError: A value is bad.
    """
    first = bad.fill_null(True).arg_max() if bad.fill_null(True).any() else None
    if first is not None:
        value = column[first]
        shown = "missing" if value is None or value == "" else repr(value)[:80]
        raise DataError(f"{place.row(first)}: {what} is {shown}", allowed=allowed, hint=hint)
