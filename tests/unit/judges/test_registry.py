"""A judge is prepared before it is asked, and closed whatever happens."""

from __future__ import annotations

import pytest

from dtlns.errors import ConfigError
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.registry import prepared


class Holding(PrefixJudge):
    """A judge that tells what is done with it; one without a model fails when it is prepared."""

    def __init__(self, *, model: bool = True) -> None:
        self.model, self.told = model, list[str]()

    def prepare(self) -> None:
        self.told.append("prepare")
        if not self.model:
            raise ConfigError("no model")

    def close(self) -> None:
        self.told.append("close")


def test_a_judge_is_prepared_and_closed() -> None:
    with prepared(Holding()) as judge:
        assert isinstance(judge, Holding)
        assert judge.told == ["prepare"]
    assert judge.told == ["prepare", "close"]


def test_a_judge_is_closed_after_a_failure() -> None:
    asked, bad = Holding(), Holding(model=False)
    with pytest.raises(ZeroDivisionError), prepared(asked):
        raise ZeroDivisionError
    assert asked.told == ["prepare", "close"]
    with pytest.raises(ConfigError, match="no model"), prepared(bad):
        raise AssertionError("a judge that cannot be prepared is not used")
    assert bad.told == ["prepare", "close"]


def test_a_judge_that_holds_nothing_needs_neither() -> None:
    with prepared(PrefixJudge()) as judge:
        assert judge.name == "prefix"
