"""Stored answers: a folder that many jobs share, and that no kill can spoil.

An answer is kept under what decides it: the engine's identity and the prompt. A job that was stopped goes on,
another run that asks the same gets what is there, and jobs on several machines may write into one folder,
since each writes files of its own and never changes one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dtlns.errors import ArtifactError
from dtlns.judges.llm.base import Answer, Prompt
from dtlns.whole_file import whole_file

ROWS_PER_PART = 4096
SECONDS_PER_PART = 5.0  # what a kill may lose
SCHEMA = {
    "key": pl.String,
    "log_odds": pl.Float64,
    "scored": pl.Boolean,
    "prompt_tokens": pl.UInt32,
    "cached_tokens": pl.UInt32,
}


def prompt_key(prompt: Prompt) -> str:
    """Return the name of a prompt, 32 hexadecimal digits.

    Example:
        >>> prompt_key(Prompt("a", "b")) == prompt_key(Prompt("ab", ""))
        False
    """
    text = json.dumps([prompt.system, prompt.user], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class AnswerStore:
    """The answers of one engine, in a folder of Parquet parts.

    Args:
        folder: Shared by all engines; each has a folder of its own below.
        identity: What decides the engine's answers, plain JSON values.

    Attributes:
        path: The folder of this engine: `identity.json` and `part-*.parquet`.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        text = json.dumps(dict(identity), sort_keys=True, indent=2) + "\n"
        self.path = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._text = text
        self._waiting: list[tuple[str, Answer]] = []
        self._since = time.monotonic()

    def load(self) -> dict[str, Answer]:
        """Return all answers by the prompt's key.

        Raises:
            ArtifactError: A part is damaged.
        """
        found: dict[str, Answer] = {}
        for part in sorted(self.path.glob("part-*.parquet")):
            try:
                table = pl.read_parquet(part, columns=list(SCHEMA))
            except (pl.exceptions.PolarsError, OSError) as error:
                raise ArtifactError(
                    f"{part} is damaged: {str(error).splitlines()[0]}",
                    hint="delete this file; its prompts are asked again",
                ) from error
            found |= {key: Answer(*values) for key, *values in table.iter_rows()}
        return found

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is on disk after the next `flush`, at the latest some seconds on."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append((key, answer))
        if len(self._waiting) >= ROWS_PER_PART or time.monotonic() - self._since >= SECONDS_PER_PART:
            self.flush()

    def flush(self) -> None:
        """Write what waits, as one more part."""
        if not self._waiting:
            return
        if not (self.path / "identity.json").exists():
            with whole_file(self.path / "identity.json") as partial:
                partial.write_text(self._text, encoding="utf-8")
        rows = [
            (key, one.log_odds, one.scored, one.prompt_tokens, one.cached_tokens)
            for key, one in self._waiting
        ]
        table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        with whole_file(
            self.path / f"part-{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.parquet"
        ) as to:
            table.write_parquet(to, compression="zstd")
        self._waiting.clear()


def missing(keys: Sequence[str], answers: Mapping[str, Answer]) -> list[int]:
    """Return the first place of each key that has no answer yet, in order.

    Example:
        >>> missing(["a", "b", "a", "c"], {"b": Answer(0.0, True, 1, None)})
        [0, 3]
    """
    first = {key: at for at, key in reversed(list(enumerate(keys)))}
    return sorted(at for key, at in first.items() if key not in answers)
