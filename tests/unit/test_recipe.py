"""A recipe as a file: what is written is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtlns.config import SelectionConfig
from dtlns.errors import ConfigError
from dtlns.recipe import Recipe, read_recipe, recipe_toml
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

FULL = Recipe(
    metric="ndcg@5",
    train=TrainConfig(
        model=ModelConfig(
            name="x", dimensions=3, options={"a": 0.1 + 0.2, "b": [1, 2], "c": "text", "d": True}
        ),
        sampler=SamplerConfig(multi_view=True, view_weights={"semantic": 1.0}),
        false_negatives="weighted",
        learning_rate=1 / 3,
    ),
    selection=SelectionConfig(top=3, scale=0.7),
)


@pytest.mark.parametrize("recipe", [Recipe(), FULL])
def test_what_is_written_is_read_back(tmp_path: Path, recipe: Recipe) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("# a comment\n" + recipe_toml(recipe))
    assert read_recipe(file) == recipe


def test_what_is_not_said_has_its_default_and_names_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[train]\nepochs = 7\n[train.sampler.view_weights]\nmine = 0.5\n[selection]\ntop = 4\n")
    recipe = read_recipe(file)
    assert recipe.train.sampler.view_weights == {"mine": 0.5}
    assert recipe.train.model_copy(update={"epochs": 300, "sampler": SamplerConfig()}) == TrainConfig()
    assert recipe.selection == SelectionConfig(top=4)


def test_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('metric = "auc"\n')
    with pytest.raises(ConfigError, match=r"recipe\.toml: metric = 'auc' · allowed: unknown metric 'auc'"):
        read_recipe(file)
