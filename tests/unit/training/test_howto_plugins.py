"""The worked example of docs/howto-plugins.md passes its own test."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest

from dtlns.plugins import GROUPS
from dtlns.run_file import load_run_config
from dtlns.samplers.registry import sampler_class

GUIDE = Path(__file__).parents[3] / "docs" / "howto-plugins.md"
BLOCK = re.compile(r"```(?:python|toml)\n# (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write the guide's files into a folder, and register what its pyproject.toml says."""
    for name, text in BLOCK.findall(GUIDE.read_text("utf-8")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    groups = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["entry-points"]
    mine = [
        EntryPoint(name, value, group) for group, table in groups.items() for name, value in table.items()
    ]
    assert len(mine) == 5
    found = EntryPoints([*mine, *(entry for group in GROUPS for entry in entry_points(group=group))])
    monkeypatch.setattr("dtlns.plugins.entry_points", found.select)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def test_the_example_passes_its_own_test(files: Path) -> None:
    scope: dict[str, object] = {}
    exec(compile((files / "tests/test_plugins.py").read_text(), "test_plugins.py", "exec"), scope)
    test = scope["test_plugins"]
    assert callable(test)
    test()


def test_the_example_can_be_configured(files: Path) -> None:
    config = load_run_config(files / "mine.toml")
    assert sampler_class(config.train.sampler).__name__ == "SoftDNS"
    assert config.train.model.options == {"dropout": 0.2}
    assert config.train.loss.options == {"margin": 0.4}
