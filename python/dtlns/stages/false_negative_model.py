"""Finding false negatives with a model: candidates from several sources, features, a cross-fitted classifier.

It is fitted where the truth is known, in a pipeline rebuilt without some hidden training positives, and
applied to the whole training view. What it writes is an artefact like that of judging, and is used like one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact, write_json
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.false_negative_model.classifier import Kind, fit_classifier
from dtlns.false_negative_model.features import GROUPS, Group, Judged, World, make_features
from dtlns.false_negative_model.sources import PER_SOURCE, find_candidates
from dtlns.judges.hiding import is_member
from dtlns.judges.quality import measure
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.stages.calibration import OUT_OF_FOLD, check_same_train, rebuild_codes
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import load_hidden
from dtlns.stages.judging import KIND, summarise_chances
from dtlns.stages.pretrain import load_pretrained
from dtlns.stages.trees import codes_read, load_codes
from dtlns.trees import PathCodes

NAME = "false-negative-model"
log = logging.getLogger(__name__)


# Groups that need an artefact of their own, and what to call it.
NEEDS: dict[Group, str] = {"trees": "trees", "judge": "a judge's chances"}


def default_groups(trees: bool, judge: bool) -> tuple[Group, ...]:
    """Return all groups that there is something for."""
    there = {"trees": trees, "judge": judge}
    return tuple(name for name in GROUPS if there.get(name, True))


def write_found(
    out: Path,
    candidates: Artifact,
    pretrained: Artifact,
    hidden: Artifact,
    *,
    trees: Artifact | None = None,
    judge: tuple[Artifact, Artifact] | None = None,
    groups: Sequence[Group] | None = None,
    classifier: Kind = "boosting",
    seed: int = 0,
    if_exists: IfExists = "error",
) -> Artifact:
    """Fit the false-negative model on hidden positives, apply it to all histories, and write the artefact.

    The fit itself is not kept: the inputs and the seed decide it. Its chances and its quality are.

    Args:
        out: Where.
        candidates: A candidates artefact, for its histories.
        pretrained: The pretrained artefact that the candidates come from.
        hidden: What is hidden, and the model pretrained without it.
        trees: Needed for the group `trees`.
        judge: Needed for the group `judge`: a judged artefact of any judge, and its calibration, which looked
            for the same hidden positives. Chances of both come from fits that have not seen the user.
        groups: Groups of features; None takes all that there is something for.
        classifier: `boosting` or `logistic`.
        seed: Of the folds and the classifier.
        if_exists: What to do when something is there.

    Returns:
        An artefact of the kind that judging writes: `judged.parquet` (user, item, rank, and p_hidden from a
        fit that has not seen the user), `summary.json`, and `measured.json` (what the chances are worth on
        the hidden positives).

    Raises:
        LeakageError: The artefacts are of different training views.
        ConfigError: The pretrained model, the hidden half or the judge does not belong to the candidates, or
            a group lacks its artefact.
        DataError: Too few hidden positives are among the candidates.
    """
    groups = tuple(
        name for name in GROUPS if name in (groups or default_groups(trees is not None, judge is not None))
    )
    there: dict[Group, object] = {"trees": trees, "judge": judge}
    for name, given in there.items():
        if (name in groups) != (given is not None):
            raise ConfigError(
                f"the features {name} need {NEEDS[name]}"
                if given is None
                else f"{NEEDS[name]} were given for features without them",
                hint=f"give both the group {name} and what it needs, or neither",
            )
    others = [hidden, *([] if trees is None else [trees]), *(judge or ())]
    check_same_train(candidates, pretrained, *others)
    if candidates.manifest["inputs"]["pretrained"] != pretrained.digest:
        raise ConfigError(f"{candidates.path} comes from another model than {pretrained.path}")
    if hidden.config["pretrain"] != candidates.config["pretrain"]:
        raise ConfigError(
            f"{hidden.path} was pretrained with other settings than {candidates.path}",
            hint="give another --hidden folder",
        )
    config: dict[str, Any] = {"judge": NAME, "groups": list(groups), "classifier": classifier, "seed": seed}
    config["per_source"] = PER_SOURCE
    inputs = {"candidates": candidates.digest, "pretrained": pretrained.digest, "hidden": hidden.digest}
    if trees is not None:
        config |= codes_read(trees)
        inputs["trees"] = trees.digest
    if judge is not None:
        _check_judge(*judge, candidates, hidden)
        inputs |= {"judged": judge[0].digest, "judge_calibration": judge[1].digest}

    def body(folder: Path) -> None:
        _, train = load_candidates(candidates)
        is_hidden, scorer = load_hidden(hidden)
        visible, held = train.keep(~is_hidden), train.keep(is_hidden)
        log.info("rebuilding sources and features without %d hidden positives", held.n_interactions)
        codes = {} if trees is None else rebuild_codes(trees, visible, scorer)
        asked = None if judge is None else read_chances(judge[1].path / OUT_OF_FOLD, "p_hidden")
        rebuilt = _world(visible, scorer, codes, asked)
        names, features = make_features(rebuilt, groups)
        users, items = rebuilt.sourced.candidates.pairs()
        labels = is_member(held.indptr, held.indices, users, items)
        log.info("fitting on %d candidates, %d of them hidden positives", len(labels), labels.sum())
        fitted = fit_classifier(classifier, features, labels, users, train.n_users, seed)
        measured = measure(fitted.calibration.out_of_fold, labels, users)
        measured["hidden_interactions"] = held.n_interactions
        write_json(folder / "measured.json", measured)
        means_then = _means(names, features)
        del rebuilt, features

        codes = {} if trees is None else load_codes(trees)
        asked = None if judge is None else read_chances(judge[0].path / "judged.parquet", "p_unseen")
        here = _world(train, load_pretrained(pretrained), codes, asked)
        names, features = make_features(here, groups)
        users, items = here.sourced.candidates.pairs()
        p_hidden = fitted.chances(features, users)
        pl.DataFrame(
            {
                "user": users.astype(np.uint32),
                "item": items.astype(np.uint32),
                "rank": here.sourced.candidates.ranks().astype(np.uint16),
                "p_hidden": p_hidden,
            }
        ).write_parquet(folder / "judged.parquet", compression="zstd")
        summary = summarise_chances(p_hidden)
        # The shift between the rebuilt pipeline and this one: close means that the fit carries over.
        summary["feature_means"] = _means(names, features)
        summary["feature_means_when_fitted"] = means_then
        summary["base_rate_when_fitted"] = measured["base_rate"]
        write_json(folder / "summary.json", summary)

    spec = Spec(KIND, config, inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def _world(
    train: TrainView, scorer: EmbeddingScorer, codes: dict[str, PathCodes], judged: Judged | None
) -> World:
    graph = ItemKNN.fit(train)
    return World(train, scorer, graph, codes, find_candidates(scorer, graph, train), judged)


def _means(names: Sequence[str], features: NDArray[np.float32]) -> dict[str, float | None]:
    """Return each column's mean over the pairs where it is known."""
    known = np.isfinite(features)
    total = np.where(known, features, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return {name: float(total[at] / count[at]) if count[at] else None for at, name in enumerate(names)}


def _check_judge(judged: Artifact, calibration: Artifact, candidates: Artifact, hidden: Artifact) -> None:
    """Refuse chances that are not of these candidates and these hidden positives."""
    inputs = judged.manifest["inputs"]
    if inputs.get("calibration") != calibration.digest:
        raise ConfigError(f"{judged.path} was not judged with the calibration {calibration.path}")
    if inputs["candidates"] != candidates.digest:
        raise ConfigError(f"{judged.path} judges other candidates than {candidates.path}")
    if calibration.manifest["inputs"]["hidden"] != hidden.digest:
        raise ConfigError(
            f"{calibration.path} looked for other hidden positives than {hidden.path}",
            hint="give its hidden half with --hidden",
        )


def read_chances(path: Path, column: str) -> Judged:
    """Return the chances in a column of a table with `user` and `item`, such as `judged.parquet`."""
    frame = pl.read_parquet(path, columns=["user", "item", column])
    users, items = (frame[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    return Judged(users, items, frame[column].to_numpy())
