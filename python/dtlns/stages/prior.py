"""The prior at ranking time: chances of false negatives, added to the scores of a trained host.

The chances come from training alone. Validation chooses one number, the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from dtlns.artifacts import Artifact, IfExists, Spec, make_artifact
from dtlns.data.dataset import Dataset
from dtlns.errors import ConfigError, DataError
from dtlns.evaluation.selector import Selector
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.prior import WithPrior
from dtlns.stages.training import KIND as MODEL
from dtlns.training.result import TrainedModel

# a prior that moves candidates as far as the host does, and fractions and multiples of it
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def load_prior(judged: Artifact, n_users: int, n_items: int) -> sp.csr_array:
    """Return the log-odds of each judged pair above those of the least likely one.

    Args:
        judged: A judged artefact.
        n_users: U.
        n_items: I.

    Returns:
        float32 CSR [U, I], not negative; a pair that was not judged has 0, as the least likely one.
    """
    frame = pl.read_parquet(judged.path / "judged.parquet", columns=["user", "item", "p_hidden"])
    chance = frame["p_hidden"].to_numpy().astype(np.float64)
    chance = np.clip(chance, 1e-6, 1.0 - 1e-6)
    odds = np.log(chance / (1.0 - chance))
    at = frame["user"].to_numpy().astype(np.int64), frame["item"].to_numpy().astype(np.int64)
    above = (odds - odds.min(initial=np.inf)).astype(np.float32)
    return sp.csr_array((above, at), shape=(n_users, n_items))


def write_with_prior(
    out: Path,
    model: Artifact,
    judged: Artifact,
    data: Dataset,
    *,
    metric: str = "recall@20",
    facts: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
) -> Artifact:
    """Add a prior to a trained host, with the weight that validation likes best.

    Weights are `WEIGHTS` times the ratio of two standard deviations over the judged pairs: of the host's
    scores and of the prior. A weight of 0 is among them, so that the prior can be refused.

    Args:
        out: Where.
        model: A trained embedding model.
        judged: Judged candidates of the same training view.
        data: The data set; its validation pairs choose.
        metric: What validation measures.
        facts: For `run.json`.
        if_exists: What to do when something is there.

    Returns:
        A model artefact, whose `metrics.jsonl` has a record for each weight.

    Raises:
        LeakageError: The artefacts are of different training views.
        DataError: There is no validation split.
        ConfigError: The model has no embeddings, or has a prior already.
    """
    train, valid = data.train, data.valid
    for artifact in (model, judged):
        artifact.check_train(train.digest)
    if "prior" in model.config:
        raise ConfigError(f"{model.path} has a prior already", hint="give the host that it was added to")
    if valid is None:
        raise DataError(
            f"{data.path} has no validation pairs to choose a prior's weight on",
            hint="make some with `dtlns data split`",
        )
    selector = Selector(train, valid, metric)
    config = model.config | {"prior": {"weights": list(WEIGHTS)}, "selected_by": selector.name}
    inputs = {"model": model.digest, "judged": judged.digest, "selector": selector.digest}

    def body(folder: Path) -> None:
        trained = TrainedModel.load(model.path)
        host = trained.scorer
        if not isinstance(host, EmbeddingScorer):
            raise ConfigError(
                f"a {type(host).__name__} takes no prior", allowed="an embedding model such as mf or lightgcn"
            )
        prior = load_prior(judged, train.n_users, train.n_items)
        unit = _spread_of(host, prior)
        trials: list[dict[str, Any]] = []
        best: tuple[float, WithPrior] | None = None
        for weight in WEIGHTS:
            scorer = WithPrior(host, prior * np.float32(weight * unit))
            value = selector(scorer)
            trials.append({"prior": weight, "weight": weight * unit, selector.name: value})
            if best is None or value > best[0]:
                best = value, scorer
        assert best is not None
        replace(
            trained,
            scorer=best[1],
            best_value=best[0],
            metric=selector.name,
            history=trained.history + trials,
        ).save(folder)

    spec = Spec(MODEL, config, inputs, train.digest)
    return make_artifact(out, spec, body, if_exists=if_exists, facts=facts)


def write_prior_alone(
    out: Path,
    judged: Artifact,
    data: Dataset,
    *,
    facts: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
) -> Artifact:
    """Write the prior as a model by itself, to be measured beside the others.

    Args:
        out: Where.
        judged: Judged candidates.
        data: The data set that they come from.
        facts: For `run.json`.
        if_exists: What to do when something is there.
    """
    train = data.train
    judged.check_train(train.digest)
    config = {
        "model": {"name": judged.config["judge"], "options": {}},
        "sampler": {"name": None, "multi_view": False},
        "false_negatives": "ignore",
        "seed": judged.config.get("seed", 0),
    }

    def body(folder: Path) -> None:
        silent = EmbeddingScorer(
            np.zeros((train.n_users, 1), np.float32), np.zeros((train.n_items, 1), np.float32)
        )
        TrainedModel(WithPrior(silent, load_prior(judged, train.n_users, train.n_items))).save(folder)

    spec = Spec(MODEL, config, {"judged": judged.digest}, train.digest)
    return make_artifact(out, spec, body, if_exists=if_exists, facts=facts)


def chosen_weight(model: Artifact, metric: str) -> float:
    """Return the weight, in units of `WEIGHTS`, that validation chose for a model with a prior."""
    tried = [record for record in TrainedModel.load(model.path).history if "prior" in record]
    return float(max(tried, key=lambda record: record[metric])["prior"])


def _spread_of(host: EmbeddingScorer, prior: sp.csr_array) -> float:
    """Return how many times wider the host's scores of the prior's pairs are than the prior."""
    pairs = sp.coo_array(prior)
    if not pairs.nnz:
        return 0.0
    scores = np.concatenate(
        [
            np.einsum("nd,nd->n", host.user_vectors[pairs.row[rows]], host.item_vectors[pairs.col[rows]])
            for rows in (slice(at, at + (1 << 18)) for at in range(0, pairs.nnz, 1 << 18))
        ]
    )
    return float(scores.std(dtype=np.float64) / max(pairs.data.std(dtype=np.float64), 1e-12))
