"""Settings that would change nothing are refused by their place; a file that lists all defaults is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from dtlns.comparison.config import load_compare_config
from dtlns.config import BestConfig, RunConfig
from dtlns.errors import ConfigError
from dtlns.run_file import load_run_config

IALS = 'model = { name = "ials" }'


def load(folder: Path, text: str) -> RunConfig | BestConfig:
    file = folder / "run.toml"
    file.write_text(f'data = "log"\n{text}\n')
    return load_run_config(file)


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('recipe = "best"\n[pretrain]\nepochs = 7', "pretrain.epochs", "ials is a model without epochs"),
        (
            'recipe = "best"\n[pretrain.model]\ndimensions = 7',
            "pretrain.model.dimensions",
            "pretrain.model.options",
        ),
        (
            f"[pretrain]\nlearning_rate = 0.1\n{IALS}",
            "pretrain.learning_rate",
            "ials is a model without epochs",
        ),
        ("[pretrain]\npatience = 3", "pretrain.patience", "sees no validation"),
        (
            'recipe = "best"\nuse_trees = false\n[trees]\nbranching = 7',
            "trees.branching",
            "use_trees = false",
        ),
        ('recipe = "best"\nhidings = 5\n[calibration]\nby = "latest"', "hidings", "the same each time"),
        (
            '[trees]\nviews = ["semantic"]\nstructural = { power = 1.0 }',
            "trees.structural.power",
            "trees.views",
        ),
        (
            "[train.sampler]\nmulti_view = false\nview_weights = { structural = 9.0 }",
            "view_weights",
            "multi_view = false",
        ),
        (
            '[train]\nfalse_negatives = "exclude"\n[false_negatives]\nscales = [3.0]',
            "scales",
            "not 'exclude'",
        ),
        (
            '[calibration]\nshare = 0.4\n[train]\nfalse_negatives = "ignore"',
            "calibration.share",
            "nothing is judged",
        ),
        (
            '[train]\nfalse_negatives = "ignore"\nrefresh_every = 2',
            "train.refresh_every",
            "nothing is judged",
        ),
    ],
)
def test_a_setting_that_nothing_reads_is_refused(tmp_path: Path, text: str, place: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    assert f"{place} would change nothing" in refused.value.what
    assert why in str(refused.value.hint)


def test_the_same_settings_are_taken_where_they_are_read(tmp_path: Path) -> None:
    for text in (
        'recipe = "best"\n[pretrain]\nepochs = 7\nmodel = { name = "mf" }',
        'recipe = "best"\n[trees]\nbranching = 7',
        '[false_negatives]\nscales = [3.0]\n[train]\nfalse_negatives = "sampled"',
        f"[pretrain]\nseed = 3\n{IALS}",
    ):
        load(tmp_path, text)


@pytest.mark.parametrize("kind", [RunConfig, BestConfig])
def test_a_file_with_all_defaults_is_read(tmp_path: Path, kind: type[RunConfig | BestConfig]) -> None:
    settings = kind(data="log")
    file = tmp_path / "config.toml"
    file.write_text(tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True)))
    assert load_run_config(file) == settings


def test_a_comparison_refuses_them_too(tmp_path: Path) -> None:
    file = tmp_path / "table.toml"
    rows = 'data = "log"\nbaseline = "mf"\n[[rows]]\nmodel = "mf"\n'
    file.write_text(f"{rows}[pretrain]\nepochs = 3\n{IALS}\n")
    with pytest.raises(ConfigError, match=r"pretrain\.epochs would change nothing"):
        load_compare_config(file)
