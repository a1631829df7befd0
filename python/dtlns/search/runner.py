"""`dtlns tune`: a search in a folder, from artefacts to the best settings as a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dtlns.artifacts import Artifact, open_artifact, write_text
from dtlns.config import SelectionConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.evaluation.selector import Selector
from dtlns.false_negatives import FalseNegatives
from dtlns.lock import alone
from dtlns.pipeline import prepare_data
from dtlns.recipe import Recipe
from dtlns.search.config import TuneConfig
from dtlns.search.report import best_toml, trials_csv
from dtlns.search.study import tune
from dtlns.search.trials import SearchResult
from dtlns.stages.calibration import KIND as CALIBRATION
from dtlns.stages.judging import KIND as JUDGED
from dtlns.stages.selection import refresher, select_false_negatives
from dtlns.stages.trees import KIND as TREES
from dtlns.stages.trees import load_codes
from dtlns.training.loop import Refresh
from dtlns.training.progress import Progress
from dtlns.training.settings import Use

BEST, TABLE = "best.toml", "trials.csv"
_INPUTS = (  # key, kind of artefact, option of `dtlns train`
    ("trees", TREES, "--trees"),
    ("judged", JUDGED, "--false-negatives"),
    ("calibration", CALIBRATION, "--calibration"),
)


@dataclass(frozen=True)
class _Judged:
    """Judged candidates of a training view, with what is needed to judge again."""

    judged: Artifact
    train: TrainView
    trees: Artifact | None
    calibration: Artifact | None

    @property
    def digest(self) -> str:
        return self.judged.digest

    def select(self, use: Use, selection: SelectionConfig) -> FalseNegatives:
        return select_false_negatives(self.judged, self.train.n_users, self.train.n_items, use, selection)

    def refresher(self, use: Use, selection: SelectionConfig) -> Refresh:
        if self.trees is None or self.calibration is None:
            raise ConfigError(
                "train.refresh_every needs trees and calibration",
                hint="name those that judged the candidates",
            )
        return refresher(self.judged, self.trees, self.calibration, self.train, use, selection)


def tune_in(
    out: Path,
    config: TuneConfig,
    *,
    base: Path | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    device: str = "auto",
    progress: Callable[[int, Progress], None] | None = None,
    ended: Callable[[SearchResult], None] | None = None,
    source: str = "tune",
) -> tuple[SearchResult, str]:
    """Search in a folder; the same call goes on after an interruption.

    Args:
        out: The folder. It gets `study.db`, and after each trial `trials.csv` and `best.toml`.
        config: The search.
        base: Folder that relative paths of `config` start from; the working directory by default.
        trials: Trials that shall have ended, instead of `config.trials`.
        timeout: Seconds after which no new trial begins.
        device: Where to train.
        progress: Called after each epoch, with the trial's number.
        ended: Called after each trial, with all that have ended.
        source: Where the settings come from, for messages.

    Returns:
        All trials, and the command that trains the best one.

    Raises:
        ConfigError: Settings do not fit, the data set has no validation split, or the folder holds another
            search or is in use.
        LeakageError: Trees or judged candidates were made from other training data.
        TrainingError: Not a single trial is complete.
    """
    if (out / "manifest.json").exists():
        raise ConfigError(f"{out} holds a data set or an artefact", hint="choose a folder of its own")
    start = base or Path()
    with alone(out):
        data = prepare_data(config.data, config.split, out, start)
        train, valid = data.train, data.valid
        assert valid is not None  # prepare_data refuses a data set without
        words = ["dtlns", "train", os.path.relpath(data.path), "-o", "MODEL"]
        words += ["--config", os.path.relpath(out / BEST)]
        found: dict[str, Artifact] = {}
        for name, kind, option in _INPUTS:
            folder = getattr(config, name)
            if folder is not None:
                found[name] = open_artifact(start / folder, kind)
                found[name].check_train(train.digest)
                words += [option, os.path.relpath(start / folder)]
        judged = None
        if "judged" in found:
            judged = _Judged(found["judged"], train, found.get("trees"), found.get("calibration"))
        command = shlex.join(words)

        def leave(result: SearchResult) -> None:
            write_text(out / TABLE, trials_csv(result))
            if result.best is not None:
                write_text(out / BEST, best_toml(result, result.best, command))

        def each(result: SearchResult) -> None:
            leave(result)
            if ended is not None:
                ended(result)

        result = tune(
            train,
            Selector(train, valid, config.metric),
            Recipe(metric=config.metric, train=config.train, selection=config.selection),
            config.space,
            codes=load_codes(found["trees"]) if "trees" in found else None,
            judged=judged,
            trials=trials or config.trials,
            timeout=timeout,
            seed=config.seed,
            pruning=config.pruning,
            folder=out,
            device=device,
            progress=progress,
            ended=each,
            source=source,
        )
        leave(result)
    return result, command
