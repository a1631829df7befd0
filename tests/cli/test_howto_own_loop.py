"""The commands and the script of docs/howto-own-loop.md do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_command import call

from dtlns.errors import LeakageError
from dtlns.own_loop import read_false_negatives

GUIDE = Path(__file__).parents[2] / "docs" / "howto-own-loop.md"
BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)


def test_the_guide_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(GUIDE.read_text("utf-8"))
    (commands,) = [text for kind, text in blocks if kind == "console"]
    for line in commands.splitlines():
        status, _, errors = call(*shlex.split(line.removeprefix("$ dtlns")))
        assert status == 0, errors
    scope: dict[str, Any] = {}
    state = torch.random.get_rng_state()
    for kind, text in blocks:
        if kind == "python":
            exec(compile(text, str(GUIDE), "exec"), scope)
    torch.random.set_rng_state(state)
    worth = scope["worth"]
    assert str(worth) in capsys.readouterr().out
    assert all(clean > 1.1 * hard for clean, hard in zip(worth["dns, exclude"], worth["dns"], strict=True))
    train = scope["data"].train
    assert scope["drawn"] == train.n_interactions
    fewer = train.keep(np.arange(train.n_interactions) > 0)
    with pytest.raises(LeakageError, match="found"):
        read_false_negatives("found", fewer)
