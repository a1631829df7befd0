"""A loss can be named wherever a training run is described."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dtlns.comparison.config import load_compare_config
from dtlns.comparison.grid import expand
from dtlns.errors import ConfigError
from dtlns.run_file import load_run_config
from dtlns.training.settings import LossConfig

LOSS = 'loss = { name = "softmax", similarity = "inner", options = { temperature = 0.2 } }'
TOLD = LossConfig(name="softmax", similarity="inner", options={"temperature": 0.2})
RUN = 'data = "bundled:movielens-small"\n[train]\n{loss}\n'
COMPARE = (
    'data = "x"\nbaseline = "mf uniform"\n[train]\n{loss}\n[[rows]]\nmodel = ["mf"]\nsampler = "uniform"\n'
)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(text: str, loss: str) -> Path:
        (tmp_path / "told.toml").write_text(text.replace("{loss}", loss))
        return tmp_path / "told.toml"

    return write


def test_dtlns_run_takes_a_loss(written: Callable[[str, str], Path]) -> None:
    assert load_run_config(written(RUN, LOSS)).train.loss == TOLD
    assert load_run_config(written(RUN, "")).train.loss == LossConfig()


def test_dtlns_compare_takes_a_loss_for_its_rows(written: Callable[[str, str], Path]) -> None:
    (row,) = expand(load_compare_config(written(COMPARE, LOSS)))
    assert row.settings.loss == TOLD


@pytest.mark.parametrize(("text", "load"), [(RUN, load_run_config), (COMPARE, load_compare_config)])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ('loss = { name = "softmax", temperature = 0.2 }', "temperature"),
        ('loss = { similarity = "angle" }', "similarity"),
    ],
)
def test_what_a_loss_does_not_have_is_refused(
    written: Callable[[str, str], Path], text: str, load: Callable[[Path], Any], loss: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(written(text, loss))
