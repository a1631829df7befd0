"""Stored answers: a folder that many jobs share, and that no kill can spoil.

An answer is kept under what decides it: the engine's identity and the prompt. A job that was stopped goes on,
another run that asks the same gets what is there, and jobs on several machines may write into one folder,
since each writes files of its own. A long job joins its own small files into larger ones; what is joined is
there before what it is made of goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dtlns.errors import ArtifactError
from dtlns.judges.llm.base import Answer, Prompt
from dtlns.whole_file import whole_file

ROWS_PER_PART = 4096
SECONDS_PER_PART = 5.0  # what a kill may lose
PARTS_JOINED = 16
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
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._written: list[list[Path]] = [[]]  # own parts, those that were joined once one place on

    def load(self, keys: Iterable[str] | None = None) -> dict[str, Answer]:
        """Return answers by the prompt's key.

        Args:
            keys: Of the prompts that are wanted; None means all.

        Raises:
            ArtifactError: A part is damaged.
        """
        wanted = None if keys is None else pl.DataFrame({"key": list(keys)}, schema={"key": pl.String})
        found: dict[str, Answer] = {}
        seen: set[Path] = set()
        quiet = 0
        # Another job may join its parts meanwhile, and a long listing is no moment in time: what was joined
        # is in a later one. Two listings without anything new have it all.
        while quiet < 2:
            new = sorted(set(self.path.glob("part-*.parquet")) - seen)
            quiet = 0 if new else quiet + 1
            for part in new:
                seen.add(part)
                try:
                    table = _read(part)
                except FileNotFoundError:
                    continue
                if wanted is not None:
                    table = table.join(wanted, on="key", how="semi")
                found |= {key: Answer(*values) for key, *values in table.iter_rows()}
        return found

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is on disk after the next `flush`, at the latest some seconds on."""
        with self._lock:
            self._waiting.append((key, answer))
            if len(self._waiting) >= ROWS_PER_PART:
                self.flush()
            elif self._timer is None:
                # an engine may hand over many at once, and then none for minutes
                self._timer = threading.Timer(SECONDS_PER_PART, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what waits, as one more part, and join parts when there are many."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._waiting:
                self._flush()

    def _flush(self) -> None:
        if not (self.path / "identity.json").exists():
            with whole_file(self.path / "identity.json") as partial:
                partial.write_text(self._text, encoding="utf-8")
        rows = [
            (key, one.log_odds, one.scored, one.prompt_tokens, one.cached_tokens)
            for key, one in self._waiting
        ]
        self._written[0].append(self._write(pl.DataFrame(rows, schema=SCHEMA, orient="row")))
        self._waiting.clear()
        for level, parts in enumerate(self._written):
            if len(parts) >= PARTS_JOINED:
                self._join(level)

    def _join(self, level: int) -> None:
        """Make one part of the parts of a level; each row is written again once for each level."""
        parts, self._written[level] = self._written[level], []
        if level + 1 == len(self._written):
            self._written.append([])
        self._written[level + 1].append(self._write(pl.concat([_read(part) for part in parts])))
        for part in parts:
            part.unlink()

    def _write(self, table: pl.DataFrame) -> Path:
        part = self.path / f"part-{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.parquet"
        with whole_file(part) as partial:
            table.write_parquet(partial, compression="zstd")
        return part


def _read(part: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(part, columns=list(SCHEMA))
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(
            f"{part} is damaged: {str(error).splitlines()[0]}",
            hint="delete this file; its prompts are asked again",
        ) from error


def missing(keys: Sequence[str], answers: Mapping[str, Answer]) -> list[int]:
    """Return the first place of each key that has no answer yet, in order.

    Example:
        >>> missing(["a", "b", "a", "c"], {"b": Answer(0.0, True, 1, None)})
        [0, 3]
    """
    first = {key: at for at, key in reversed(list(enumerate(keys)))}
    return sorted(at for key, at in first.items() if key not in answers)
