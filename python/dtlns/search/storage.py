"""Trials on disk: an Optuna study in SQLite, which `optuna-dashboard` can show as well."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial
from sqlalchemy.exc import DatabaseError

from dtlns.errors import ArtifactError, ConfigError
from dtlns.training.identity import differences, flat

STUDY = "study.db"


@contextmanager
def kept_study(
    folder: Path, identity: Mapping[str, Any]
) -> Iterator[tuple[list[FrozenTrial], Callable[[FrozenTrial], None]]]:
    """Open a file of trials, or make one.

    SQLite, and not Optuna's journal file: what a kill or a power failure cuts short is rolled back when the
    file is next opened, and the lock on it ends with the process. A line that is cut in a journal can never
    be read again, and its lock stays behind.

    Args:
        folder: Where `study.db` is.
        identity: What the search is, as JSON values; one with another identity is not gone on with.

    Yields:
        The trials there, and what writes one more in one transaction.

    Raises:
        ConfigError: The file holds another search.
        ArtifactError: The file cannot be read or written.
    """
    file = folder / STUDY
    with _named(file):
        # not by an URL, in which some characters of a path mean something else
        connect = {"creator": lambda: sqlite3.connect(file)}
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=connect)
    try:
        with _named(file):
            study = optuna.create_study(
                storage=storage, study_name="dtlns", direction="maximize", load_if_exists=True
            )
            _recognise(study, folder, identity)
            known = study.get_trials()
        yield known, _named(file)(study.add_trial)
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name the file in what the database says."""
    try:
        yield
    except (DatabaseError, StorageInternalError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        what = getattr(cause, "orig", cause)  # without the SQL
        raise ArtifactError(
            f"{file} cannot be used ({what})", hint="choose another folder, or remove this one"
        ) from error


def _recognise(study: optuna.Study, folder: Path, identity: Mapping[str, Any]) -> None:
    """Write down what a new search is, and refuse one that is something else."""
    ours = flat(json.loads(json.dumps(identity)))
    theirs = study.user_attrs.get("identity")
    if theirs is None:
        study.set_user_attr("identity", ours)
        return
    changes = differences(theirs, ours)
    if changes:
        raise ConfigError(
            f"{folder} holds a search with other settings: {changes}",
            hint="choose another folder, or go on with the settings and data that it was begun with",
        )
