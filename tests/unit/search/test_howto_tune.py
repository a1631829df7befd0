"""The guide's files are ones that the commands read, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

from dtlns.recipe import Recipe, read_recipe
from dtlns.run_file import load_run_config
from dtlns.search.config import load_tune_config
from dtlns.search.parsing import parse_space
from dtlns.search.space import Range

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "howto-tune.md").read_text("utf-8")
BLOCK = re.compile(r"```(python|toml)\n(.*?)```", re.DOTALL)


def test_the_files_are_read(tmp_path: Path) -> None:
    shown, ease = (text for kind, text in BLOCK.findall(GUIDE) if kind == "toml")
    file = tmp_path / "search.toml"
    file.write_text(shown)
    # the example in the repository says the same, without the defaults
    assert load_tune_config(file) == load_tune_config(ROOT / "examples" / "movielens-tune.toml")
    file.write_text(ease)
    assert parse_space(load_tune_config(file).space) == {
        "train.model.options.l2": Range(1.0, 1000.0, log=True)
    }


def test_the_python_runs_and_its_settings_can_be_pasted(tmp_path: Path) -> None:
    (text,) = (text for kind, text in BLOCK.findall(GUIDE) if kind == "python")
    names: dict[str, object] = {}
    printed: list[str] = []
    exec(compile(text, "howto-tune.md", "exec"), names | {"print": printed.append})
    file = tmp_path / "best.toml"
    file.write_text(printed[0])
    recipe = read_recipe(file)
    assert recipe.train.l2 in (1e-4, 1e-2)
    assert recipe == Recipe(metric="recall@20", train=recipe.train)
    file.write_text('data = "x"\n' + printed[0].partition("\n")[2])
    assert load_run_config(file).train == recipe.train
