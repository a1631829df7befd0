"""Answers recorded from another engine, played again: no model needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from dtlns.errors import DataError, InputError
from dtlns.judges.llm.answers import SCHEMA, prompt_key
from dtlns.judges.llm.base import Answer, Engine, Failure, Prompt
from dtlns.whole_file import whole_file

SUFFIXES = (".jsonl", ".parquet")
FORMATS = "a .jsonl or .parquet file that `record` wrote"


class ReplayEngine:
    """Gives the answers that a file holds, under the identity of the engine that they come from.

    Args:
        file: As `record` writes it. Parquet: a row per prompt, columns `key`, `log_odds`, `scored`,
            `prompt_tokens`, `cached_tokens`, and `identity`, the same JSON text in all rows. JSONL: the
            identity in the first line, then an object per prompt with the other columns.

    Raises:
        DataError: The file is missing, damaged or something else.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._identity, rows = _READ[_suffix(file)](file)
            self._answers = {row["key"]: _answer(row) for row in rows}
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{file} holds no recorded answers: {(str(error) or repr(error)).splitlines()[0]}",
                allowed=FORMATS,
            ) from error
        self._file = file

    @property
    def identity(self) -> dict[str, Any]:
        """That of the engine that the answers were recorded from."""
        return self._identity

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Return the recorded lengths.

        Raises:
            InputError: A prompt was not recorded.
        """
        outcomes = [outcome for _, outcome in self.ask(prompts)]
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                raise InputError(f"the length of a prompt is not known: {outcome.reason}")
        return [outcome.prompt_tokens for outcome in outcomes if isinstance(outcome, Answer)]

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (place, recorded answer), a failure where there is none."""
        for at, prompt in enumerate(prompts):
            key = prompt_key(prompt)
            missing = Failure(f"{self._file} has no answer to the prompt {key}, {prompt.user[-60:]!r}")
            yield at, self._answers.get(key, missing)

    def close(self) -> None:
        """Nothing to free."""


def record(engine: Engine, prompts: Sequence[Prompt], file: Path) -> list[Failure]:
    """Ask an engine and write its answers for `ReplayEngine`.

    Args:
        engine: Asked once for each prompt.
        prompts: What to ask.
        file: Where to; `.jsonl` for eyes and version control, `.parquet` for many.

    Returns:
        What failed, and is not in the file.

    Raises:
        DataError: The file's name ends in neither.
    """
    suffix = _suffix(file)
    outcomes = dict(engine.ask(prompts))
    rows = [
        {"key": prompt_key(prompts[at])} | asdict(one)
        for at, one in sorted(outcomes.items())
        if isinstance(one, Answer)
    ]
    with whole_file(file) as partial:
        if suffix == ".jsonl":
            lines = [{"identity": engine.identity}, *rows]
            partial.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        else:
            identity = json.dumps(engine.identity, sort_keys=True)
            table = pl.DataFrame(rows, schema=SCHEMA).with_columns(identity=pl.lit(identity))
            table.write_parquet(partial, compression="zstd")
    return [one for one in outcomes.values() if isinstance(one, Failure)]


def _suffix(file: Path) -> str:
    if file.suffix not in SUFFIXES:
        raise DataError(f"{file} ends in {file.suffix!r}", allowed=FORMATS)
    return file.suffix


def _answer(row: dict[str, Any]) -> Answer:
    cached = row["cached_tokens"]
    return Answer(
        float(row["log_odds"]),
        bool(row["scored"]),
        int(row["prompt_tokens"]),
        None if cached is None else int(cached),
    )


def _read_jsonl(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    first, *rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return dict(first["identity"]), rows


def _read_parquet(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    table = pl.read_parquet(file)
    (identity,) = table["identity"].unique().to_list()
    return dict(json.loads(identity)), table.drop("identity").to_dicts()


_READ = {".jsonl": _read_jsonl, ".parquet": _read_parquet}
