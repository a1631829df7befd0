"""The command `dtlns` with an engine that holds a process of its own and takes its time.

python tests/cli/ask_slowly.py FILE WORDS...: the process's id is written to FILE once it asks.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dtlns.cli import main
from dtlns.judges.llm import start
from dtlns.judges.llm.base import Answer, Prompt

HOLD = [sys.executable, "-c", "import time; time.sleep(600)"]


class Slow:
    """Answers for longer than anybody waits."""

    identity: dict[str, Any] = {"engine": "slow"}  # noqa: RUF012

    def __init__(self, told: Path) -> None:
        self._told = told
        self._held = subprocess.Popen(HOLD, start_new_session=True)

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [1] * len(prompts)

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer]]:
        yield 0, Answer(1.0, True, 1, None)
        self._told.write_text(str(self._held.pid))
        for at in range(1, len(prompts)):
            time.sleep(1)
            yield at, Answer(1.0, True, 1, None)

    def close(self) -> None:
        self._held.kill()
        self._held.wait()


if __name__ == "__main__":
    told, *words = sys.argv[1:]
    start._make = lambda *_: Slow(Path(told))
    main(words)
