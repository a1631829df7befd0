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

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact, write_json
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.false_negative_model.classifier import Kind, fit_classifier
from dtlns.false_negative_model.features import GROUPS, Group, World, make_features
from dtlns.false_negative_model.sources import PER_SOURCE, find_candidates
from dtlns.judges.hiding import is_member
from dtlns.judges.quality import measure
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN
from dtlns.stages.calibration import check_same_train, rebuild_codes
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import load_hidden
from dtlns.stages.judging import KIND, summarise_chances
from dtlns.stages.pretrain import load_pretrained
from dtlns.stages.trees import codes_read, load_codes
from dtlns.trees import PathCodes

NAME = "false-negative-model"
log = logging.getLogger(__name__)


def default_groups(trees: Artifact | None) -> tuple[Group, ...]:
    """Return all groups, less `trees` where there are none."""
    return tuple(name for name in GROUPS if name != "trees" or trees is not None)


def write_found(
    out: Path,
    candidates: Artifact,
    pretrained: Artifact,
    hidden: Artifact,
    *,
    trees: Artifact | None = None,
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
        groups: Groups of features; None takes all that there is something for.
        classifier: `boosting` or `logistic`.
        seed: Of the folds and the classifier.
        if_exists: What to do when something is there.

    Returns:
        An artefact of the kind that judging writes: `judged.parquet` (user, item, rank, p_hidden, and
        p_unseen from fits without that user), `summary.json`, and `measured.json` (what the chances are
        worth on hidden positives of users that the fit has not seen).

    Raises:
        LeakageError: The artefacts are of different training views.
        ConfigError: The pretrained model or the hidden half does not belong to the candidates, or there are
            no trees for their group.
        DataError: Too few hidden positives are among the candidates.
    """
    groups = tuple(name for name in GROUPS if name in (groups or default_groups(trees)))
    if ("trees" in groups) != (trees is not None):
        raise ConfigError(
            "the features of trees need trees"
            if trees is None
            else "trees were given for features without them",
            hint="give --trees and the group trees together",
        )
    check_same_train(candidates, pretrained, hidden, *([] if trees is None else [trees]))
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

    def body(folder: Path) -> None:
        _, train = load_candidates(candidates)
        is_hidden, scorer = load_hidden(hidden)
        visible, held = train.keep(~is_hidden), train.keep(is_hidden)
        log.info("rebuilding sources and features without %d hidden positives", held.n_interactions)
        codes = {} if trees is None else rebuild_codes(trees, visible, scorer)
        there = _world(visible, scorer, codes)
        names, features = make_features(there, groups)
        users, items = there.sourced.candidates.pairs()
        labels = is_member(held.indptr, held.indices, users, items)
        log.info("fitting on %d candidates, %d of them hidden positives", len(labels), labels.sum())
        fitted = fit_classifier(classifier, features, labels, users, train.n_users, seed)
        measured = measure(fitted.calibration.out_of_fold, labels, users)
        measured["hidden_interactions"] = held.n_interactions
        write_json(folder / "measured.json", measured)
        means_then = dict(zip(names, features.mean(axis=0, dtype=np.float64).tolist(), strict=True))

        here = _world(train, load_pretrained(pretrained), {} if trees is None else load_codes(trees))
        names, features = make_features(here, groups)
        users, items = here.sourced.candidates.pairs()
        p_hidden, p_unseen = fitted.chances(features, users)
        pl.DataFrame(
            {
                "user": users.astype(np.uint32),
                "item": items.astype(np.uint32),
                "rank": here.sourced.candidates.ranks().astype(np.uint16),
                "p_hidden": p_hidden,
                "p_unseen": p_unseen,
            }
        ).write_parquet(folder / "judged.parquet", compression="zstd")
        summary = summarise_chances(p_hidden)
        # The shift between the rebuilt pipeline and this one: close means that the fit carries over.
        summary["feature_means"] = dict(
            zip(names, features.mean(axis=0, dtype=np.float64).tolist(), strict=True)
        )
        summary["feature_means_when_fitted"] = means_then
        summary["base_rate_when_fitted"] = measured["base_rate"]
        write_json(folder / "summary.json", summary)

    spec = Spec(KIND, config, inputs, candidates.train_digest)
    return make_artifact(out, spec, body, if_exists=if_exists)


def _world(train: TrainView, scorer: EmbeddingScorer, codes: dict[str, PathCodes]) -> World:
    graph = ItemKNN.fit(train)
    return World(train, scorer, graph, codes, find_candidates(scorer, graph, train))
