"""`dtlns compare`: what is missing is run, a run that fails is reported, and one table comes out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dtlns.artifacts import write_json, write_text
from dtlns.comparison.config import CompareConfig
from dtlns.comparison.grid import Row, Variant, expand
from dtlns.comparison.jobs import Job, Outcome, run_jobs
from dtlns.comparison.results import Failure, gather
from dtlns.comparison.table import render
from dtlns.comparison.work import (
    NOTHING,
    Need,
    Place,
    evaluate_row,
    make_upstream,
    need_of,
    prepare,
    train_row,
)
from dtlns.errors import ConfigError, TrainingError
from dtlns.evaluation.selector import Selector
from dtlns.idle import refuse_weights
from dtlns.lock import alone
from dtlns.pipeline import prepare_data
from dtlns.rehearsal import rehearse
from dtlns.stages.controls import CONTROLS
from dtlns.stages.hidden import check_calibration

log = logging.getLogger(__name__)
Key = tuple[str, int]  # a row's name and a seed


def compare(
    config: CompareConfig,
    out: Path,
    *,
    base: Path | None = None,
    jobs: int = 1,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train every row with every seed, measure all, and test the differences.

    What is there and still right is kept, so the same call goes on after an interruption. The test split is
    looked at when everything is trained. Called from a script, it needs the usual
    `if __name__ == "__main__":` around.

    Args:
        config: The comparison.
        out: Its folder.
        base: Folder that a relative `config.data` starts from; the working directory by default.
        jobs: Runs at the same time, each with its share of the processors and of `config.memory_gb`.
        device: Where to train.

    Returns:
        What `results.json` holds; see `dtlns.comparison.results.gather`.

    Raises:
        ConfigError: A name is unknown, settings do not fit together, or another process works in the
            folder; told before any work.
        TrainingError: Not a single run ended well.
    """
    if (out / "manifest.json").exists():
        raise ConfigError(f"{out} holds a data set or an artefact", hint="choose a folder of its own")
    rows = expand(config)
    names = sorted({row.judge for row in rows if row.judge is not None} - {*CONTROLS})
    judges = [config.judge(name) for name in names]
    rehearse(config.pretrain, judges, [(row.settings, row.trees or config.trees) for row in rows])
    with alone(out):
        return _compare(config, out, base or Path(), rows, jobs=jobs, device=device)


def _compare(
    config: CompareConfig, out: Path, base: Path, rows: list[Row], *, jobs: int, device: str
) -> dict[str, Any]:
    resplit = any(row.variant.split != "given" for row in rows)
    data = prepare_data(config.data, config.split, out, base, resplit=resplit)
    for metric in config.metrics:
        Selector.check(metric, data.train.n_items)
    check_calibration(data.train, config.calibration)
    refuse_weights(data.train, config.pretrain, config.train)
    place = Place(out, data.path)
    runs = _runs(rows)
    crew = _Crew(min(jobs, len(runs)), config.memory_gb)
    broken = _prepare_all(place, config, runs, crew, device)
    failures = [Failure(name, seed, why) for (name, seed), why in broken.items()]
    tasks = {
        key: Job(f"{key[0]}, seed {key[1]}", train_row, (place, config, row, key[1], device))
        for key, row in runs.items()
        if key not in broken
    }
    trained = crew.values(tasks, failures)
    # Only now, when everything is trained, is the test split looked at.
    tasks = {
        key: Job(f"measuring {key[0]}, seed {key[1]}", evaluate_row, (place, config, runs[key], key[1]))
        for key in trained
    }
    measured = {key: trained[key] for key in crew.values(tasks, failures)}
    if not measured:
        raise TrainingError(f"all {len(failures)} runs failed, the first with: {failures[0].why}")
    results = gather(place, config, rows, measured, failures)
    results["data"] = {"name": data.name, "split": data.split, "interactions": data.train.n_interactions}
    write_json(out / "results.json", results)
    write_text(out / "table.md", render(results) + "\n")
    return results


class _Crew:
    """Runs jobs and tells how it goes."""

    def __init__(self, at_once: int, memory_gb: float | None) -> None:
        self.at_once = at_once
        self.memory_gb = memory_gb
        self.threads = max(1, (os.cpu_count() or 1) // at_once)

    def do(self, tasks: dict[Any, Job]) -> Iterator[tuple[Any, Outcome]]:
        """Run jobs by key, and log a line for each that ends."""
        key_of = {job.name: key for key, job in tasks.items()}
        started = time.monotonic()
        ended = run_jobs(
            list(tasks.values()), at_once=self.at_once, threads=self.threads, memory_gb=self.memory_gb
        )
        for count, outcome in enumerate(ended, start=1):
            left = (time.monotonic() - started) / count * (len(tasks) - count)
            how = f"{outcome.seconds:.0f} s" if outcome.failure is None else f"FAILED: {outcome.failure}"
            more = f" · about {left / 60:.0f} min left" if left >= 30 else ""
            log.info("[%d/%d] %s · %s%s", count, len(tasks), outcome.job.name, how, more)
            yield key_of[outcome.job.name], outcome

    def values(self, tasks: dict[Key, Job], failures: list[Failure]) -> dict[Key, Any]:
        """Run jobs of rows; return what those that ended well returned, and add the others to `failures`."""
        found = {}
        for key, outcome in self.do(tasks):
            if outcome.failure is None:
                found[key] = outcome.value
            else:
                failures.append(Failure(key[0], key[1], outcome.failure))
        return found


def _runs(rows: list[Row]) -> dict[Key, Row]:
    """All runs by row name and seed; seed by seed, so that a table of fewer seeds is there early."""
    seeds = dict.fromkeys(seed for row in rows for seed in row.seeds)
    return {(row.name, seed): row for seed in seeds for row in rows if seed in row.seeds}


def _prepare_all(
    place: Place, config: CompareConfig, runs: dict[Key, Row], crew: _Crew, device: str
) -> dict[Key, str]:
    """Make data sets and what rows share; say which runs cannot be done, and why."""
    needs: dict[tuple[Variant, int], list[Need]] = {}
    for (_, seed), row in runs.items():
        wanted = needs.setdefault((row.variant, seed), [])
        if need_of(row) not in (NOTHING, *wanted):
            wanted.append(need_of(row))
    for variant, seed in needs:
        prepare(place, config, variant, seed)
    tasks = {
        (variant, seed): Job(
            f"trees and judging{f' ({variant.name})' if variant.name else ''}, seed {seed}",
            make_upstream,
            (place, config, variant, seed, wanted, device),
        )
        for (variant, seed), wanted in needs.items()
        if wanted
    }
    outcomes = dict(crew.do(tasks))
    broken = {}
    for (name, seed), row in runs.items():
        outcome = outcomes.get((row.variant, seed))
        if outcome is not None and need_of(row) != NOTHING:
            why = outcome.failure or outcome.value.get(need_of(row))
            if why is not None:
                broken[name, seed] = why
    return broken
