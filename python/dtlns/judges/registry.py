"""Judges by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dtlns.config import JudgeConfig
from dtlns.errors import ConfigError
from dtlns.judges.base import Judge
from dtlns.plugins import check_options, load_plugin


def build_judge(config: JudgeConfig) -> Judge:
    """Make the judge that a configuration names.

    Args:
        config: Name and options; the options become keyword arguments.

    Raises:
        ConfigError: No such judge, it does not read an option, or an option is out of range.

    Example:
        >>> build_judge(JudgeConfig(name="prefix")).name
        'prefix'
    """
    kind = load_plugin("dtlns.judges", config.name)
    check_options("dtlns.judges", config.name, kind, config.options)
    judge: Judge = kind(**config.options)
    if judge.name != config.name:
        raise ConfigError(f"the judge {config.name!r} calls itself {judge.name!r}", allowed="one name")
    return judge


def build_again(config: JudgeConfig) -> Judge:
    """Make a judge that is asked once more while a model trains.

    Args:
        config: Its name, and the options that decide what it says: no others are kept.

    Raises:
        ConfigError: It needs more than these, such as the address of a server.
    """
    try:
        return build_judge(config)
    except ConfigError as error:
        raise ConfigError(
            f"the judge {config.name!r} cannot be asked again in training, where it has but the options that "
            f"decide its answers: {error.what}" + (f", {error.allowed}" if error.allowed else ""),
            allowed="refresh_every = 0",
        ) from error


def prepare_judge(judge: Judge) -> None:
    """Let a judge fail now, and not after the training that comes before its first question.

    A judge that needs a library, a model or a server has a `prepare` that raises what would fail later.
    """
    prepare = getattr(judge, "prepare", None)
    if prepare is not None:
        prepare()


def close_judge(judge: Judge) -> None:
    """Free what a judge holds, such as a model; one that holds nothing has no `close`."""
    close = getattr(judge, "close", None)
    if close is not None:
        close()


@contextmanager
def prepared(judge: Judge) -> Iterator[Judge]:
    """Prepare a judge, and close it in the end, whatever happens.

    Args:
        judge: Any judge.
    """
    try:
        prepare_judge(judge)
        yield judge
    finally:
        close_judge(judge)


def decisive_options(judge: Judge) -> dict[str, Any]:
    """Return the options that decide what a judge says, as plain JSON values: with its name, its identity.

    A judge that has any lists them in `options`; those that change only how fast it answers stay out.
    """
    return dict(getattr(judge, "options", {}))


def engine_identity(judge: Judge) -> dict[str, Any] | None:
    """Return what answers for a judge, as plain JSON values, or None where it answers by itself.

    A judge that asks something else, such as a language model, tells it in `identity` once it has asked.
    """
    identity: dict[str, Any] | None = getattr(judge, "identity", None)
    return identity
