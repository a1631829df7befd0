"""The commands and the code of docs/howto-recommend.md do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from dtlns.cli import main

GUIDE = Path(__file__).parents[2] / "docs" / "howto-recommend.md"
BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)


def test_the_guide_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("implicit", "faiss", "usearch"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(GUIDE.read_text("utf-8"))
    commands = [
        shlex.split(line[2:], comments=True)
        for kind, text in blocks
        if kind == "console"
        for line in text.splitlines()
        if line.startswith("$ ")
    ]
    assert len(commands) == 10
    said = []
    for program, *words in commands:
        assert program == "dtlns"
        assert not main(words)
        said.append(capsys.readouterr().out)
    assert "\n42,1," in said[3]
    assert said[4] == (
        "lists.parquet: the 20 best of 2,078 items for 659 users; left out: training interactions\n"
    )
    scope: dict[str, object] = {}
    code = [text for kind, text in blocks if kind == "python"]
    assert len(code) == 4
    for text in code:
        exec(compile(text, str(GUIDE), "exec"), scope)
    found, nearly = scope["items"], scope["nearly"]
    assert isinstance(found, pl.Series)
    assert isinstance(nearly, pl.Series)
    assert len(set(found) & set(nearly)) >= 90
