"""Finding false negatives with a model: candidates from several sources, features, a cross-fitted classifier.

It is fitted where the truth is known, in a pipeline rebuilt without some hidden training positives, and
applied to the whole training view. What it writes is an artefact like that of judging, and is used like one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
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
from dtlns.false_negative_model.sources import PER_SOURCE, choose_shrinkage, find_candidates
from dtlns.judges.hiding import is_member
from dtlns.judges.quality import measure
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.stages.calibration import OUT_OF_FOLD, check_same_train, rebuild_codes
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import load_hidden
from dtlns.stages.judge_chances import calibrations_for, read_chances
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
    hidden: Artifact | Sequence[Artifact],
    *,
    trees: Artifact | None = None,
    judge: tuple[Artifact, Sequence[Artifact]] | None = None,
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
        hidden: What is hidden, and the model pretrained without it; or several, hidden by different seeds,
            for more positives to fit on.
        trees: Needed for the group `trees`.
        judge: Needed for the group `judge`: a judged artefact of any judge, and calibrations of that judge,
            its own among them, one for each of `hidden`. Their chances are from fits without the user, too.
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
    hidings = [hidden] if isinstance(hidden, Artifact) else list(hidden)
    if len({hiding.digest for hiding in hidings}) < len(hidings):
        raise ConfigError("the same hidden positives were given twice", hint="hide by another seed")
    check_same_train(candidates, pretrained, *hidings, *([] if trees is None else [trees]))
    if candidates.manifest["inputs"]["pretrained"] != pretrained.digest:
        raise ConfigError(f"{candidates.path} comes from another model than {pretrained.path}")
    for hiding in hidings:
        if hiding.config["pretrain"] != candidates.config["pretrain"]:
            raise ConfigError(
                f"{hiding.path} was pretrained with other settings than {candidates.path}",
                hint="give another --hidden folder",
            )
    config: dict[str, Any] = {"judge": NAME, "groups": list(groups), "classifier": classifier, "seed": seed}
    config["per_source"] = PER_SOURCE
    inputs = {"candidates": candidates.digest, "pretrained": pretrained.digest}
    inputs |= {_numbered("hidden", at): hiding.digest for at, hiding in enumerate(hidings)}
    if trees is not None:
        config |= codes_read(trees)
        inputs["trees"] = trees.digest
    calibrations: list[Artifact] | None = None
    if judge is not None:
        calibrations = calibrations_for(*judge, candidates, hidings)
        inputs["judged"] = judge[0].digest
        inputs |= {_numbered("judge_calibration", at): one.digest for at, one in enumerate(calibrations)}

    def body(folder: Path) -> None:
        _, train = load_candidates(candidates)
        is_hidden, _ = load_hidden(hidings[0])
        shrinkage = choose_shrinkage(train.keep(~is_hidden), train.keep(is_hidden))
        rebuilt = [
            _rebuild(
                train, hiding, trees, groups, None if calibrations is None else calibrations[at], shrinkage
            )
            for at, hiding in enumerate(hidings)
        ]
        names = rebuilt[0].names
        features, users, labels = (
            np.concatenate([getattr(part, field) for part in rebuilt])
            for field in ("features", "users", "labels")
        )
        n_hidden = sum(part.n_hidden for part in rebuilt)
        del rebuilt
        log.info("fitting on %d candidates, %d of them hidden positives", len(labels), labels.sum())
        fitted = fit_classifier(classifier, features, labels, users, train.n_users, seed)
        measured = measure(fitted.calibration.out_of_fold, labels, users)
        measured["hidden_interactions"] = n_hidden
        measured["shrinkage"] = shrinkage
        write_json(folder / "measured.json", measured)
        means_then = _means(names, features)
        del features

        codes = {} if trees is None else load_codes(trees)
        asked = None if judge is None else read_chances(judge[0].path / "judged.parquet", "p_unseen")
        here = _world(train, load_pretrained(pretrained), codes, asked, shrinkage)
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


@dataclass(frozen=True, eq=False)
class _Rebuilt:
    """The candidates of a pipeline without some positives: features [N, F], users [N], hidden or not [N]."""

    names: list[str]
    features: NDArray[np.float32]
    users: NDArray[np.int64]
    labels: NDArray[np.bool_]
    n_hidden: int


def _rebuild(
    train: TrainView,
    hidden: Artifact,
    trees: Artifact | None,
    groups: Sequence[Group],
    calibration: Artifact | None,
    shrinkage: float,
) -> _Rebuilt:
    is_hidden, scorer = load_hidden(hidden)
    visible, held = train.keep(~is_hidden), train.keep(is_hidden)
    log.info("rebuilding sources and features without %d hidden positives", held.n_interactions)
    codes = {} if trees is None else rebuild_codes(trees, visible, scorer)
    asked = None if calibration is None else read_chances(calibration.path / OUT_OF_FOLD, "p_hidden")
    world = _world(visible, scorer, codes, asked, shrinkage)
    names, features = make_features(world, groups)
    users, items = world.sourced.candidates.pairs()
    labels = is_member(held.indptr, held.indices, users, items)
    return _Rebuilt(names, features, users, labels, held.n_interactions)


def _world(
    train: TrainView,
    scorer: EmbeddingScorer,
    codes: dict[str, PathCodes],
    judged: Judged | None,
    shrinkage: float,
) -> World:
    graph = ItemKNN.fit(train, shrinkage=shrinkage)
    return World(train, scorer, graph, codes, find_candidates(scorer, graph, train), judged)


def _means(names: Sequence[str], features: NDArray[np.float32]) -> dict[str, float | None]:
    """Return each column's mean over the pairs where it is known."""
    known = np.isfinite(features)
    total = np.where(known, features, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return {name: float(total[at] / count[at]) if count[at] else None for at, name in enumerate(names)}


def _numbered(name: str, at: int) -> str:
    return name if at == 0 else f"{name}_{at}"
