"""What options of losses are checked for."""

from __future__ import annotations

import math

from dtlns.errors import ConfigError


def positive_number(name: str, value: object) -> float:
    """Check an option that must be a positive number.

    Raises:
        ConfigError: It is something else.

    Example:
        >>> positive_number("temperature", 1)
        1.0
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise ConfigError(f"{name} is {value!r}", allowed="a number above 0")
