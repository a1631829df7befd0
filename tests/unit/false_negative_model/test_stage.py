"""The stage on a planted world: quality, determinism, what it reads and refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dtlns.artifacts import Artifact
from dtlns.config import CalibrationConfig, SelectionConfig, TreesConfig
from dtlns.data.dataset import Dataset
from dtlns.data.planted import plant
from dtlns.errors import ConfigError, LeakageError
from dtlns.false_negative_model.classifier import fit_classifier
from dtlns.false_negative_model.features import GROUPS
from dtlns.false_negative_model.sources import find_candidates
from dtlns.judges.base import JudgeRequest, score_table
from dtlns.judges.calibration import fit_calibration
from dtlns.judges.hiding import is_member
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.quality import measure
from dtlns.models.itemknn import ItemKNN
from dtlns.stages.calibration import rebuild_codes, write_calibration
from dtlns.stages.candidates import load_candidates, write_candidates
from dtlns.stages.false_negative_model import write_found
from dtlns.stages.hidden import load_hidden, write_hidden
from dtlns.stages.judging import KIND, write_judged
from dtlns.stages.pretrain import write_pretrained
from dtlns.stages.selection import select_false_negatives
from dtlns.stages.trees import write_trees
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

QUICK = TrainConfig(
    model=ModelConfig(name="mf", dimensions=8),
    sampler=SamplerConfig(name="uniform"),
    epochs=20,
    learning_rate=0.01,
)


@dataclass
class Made:
    """What the tests share."""

    at: Path
    data: Dataset
    pretrained: Artifact
    candidates: Artifact
    hidden: Artifact
    trees: Artifact

    def found(self, name: str, **options: object) -> Artifact:
        options = {"trees": self.trees} | options
        return write_found(self.at / name, self.candidates, self.pretrained, self.hidden, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    at = tmp_path_factory.mktemp("found")
    data = plant(at / "data", users=300, branching=3, leaf_size=3, exposed=1.0, interactions=12)
    pretrained = write_pretrained(at / "pretrained", data.train, QUICK)
    candidates = write_candidates(at / "candidates", data.train, pretrained, 20, hide_by="random")
    hidden = write_hidden(at / "hidden", candidates, CalibrationConfig(share=0.3))
    trees = write_trees(at / "trees", data.train, TreesConfig(max_leaf_size=5), semantic=pretrained)
    return Made(at, data, pretrained, candidates, hidden, trees)


@pytest.fixture(scope="module")
def boosted(made: Made) -> Artifact:
    return made.found("boosted")


def judged(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.path / "judged.parquet")


def quality(artifact: Artifact) -> dict[str, float]:
    return json.loads((artifact.path / "measured.json").read_bytes())  # type: ignore[no-any-return]


def test_hidden_positives_are_found_at_least_as_well_as_by_prefixes(made: Made, boosted: Artifact) -> None:
    _, train = load_candidates(made.candidates)
    hidden, scorer = load_hidden(made.hidden)
    visible, held = train.keep(~hidden), train.keep(hidden)
    found = find_candidates(scorer, ItemKNN.fit(visible), visible).candidates
    codes = rebuild_codes(made.trees, visible, scorer)
    columns, scores = score_table(PrefixJudge(), JudgeRequest(visible, codes, found))
    users, items = found.pairs()
    labels = is_member(held.indptr, held.indices, users, items)
    judge = fit_calibration(columns, scores, labels, users, train.n_users)
    prefix = measure(judge.out_of_fold, labels, users)
    # the same pairs and labels: what the rules here say is hidden is what the stage was fitted to
    assert (prefix["pairs"], prefix["positives"]) == (
        quality(boosted)["pairs"],
        quality(boosted)["positives"],
    )
    assert quality(boosted)["auc"] > 0.7
    assert quality(boosted)["auc"] >= prefix["auc"]
    assert quality(made.found("logistic", classifier="logistic"))["auc"] > 0.7
    # The judge is the model's smallest case: trees alone, weighed linearly.
    trees_alone = quality(made.found("trees-alone", classifier="logistic", groups=["trees"]))
    assert prefix["auc"] > 0.6
    assert trees_alone["auc"] >= prefix["auc"] - 0.02


def test_artefact_is_one_that_training_uses(made: Made, boosted: Artifact) -> None:
    assert boosted.kind == KIND
    frame, train = judged(boosted), made.data.train
    assert frame.columns == ["user", "item", "rank", "p_hidden"]
    users, items = (frame[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    assert not is_member(train.indptr, train.indices, users, items).any()
    assert frame["p_hidden"].is_between(0, 1).all()
    assert len(np.unique(users * train.n_items + items)) == len(frame)
    chosen = select_false_negatives(
        boosted, train.n_users, train.n_items, "weighted", SelectionConfig(top=5, scale=2.0)
    )
    assert np.bincount(chosen.users, minlength=train.n_users).max() <= 5


def test_same_inputs_give_the_same_bytes(made: Made, boosted: Artifact) -> None:
    again = made.found("again")
    assert again.digest == boosted.digest
    for name in ("judged.parquet", "measured.json", "summary.json"):
        assert (again.path / name).read_bytes() == (boosted.path / name).read_bytes()


def test_labels_are_the_hidden_positives_among_the_candidates(made: Made, boosted: Artifact) -> None:
    measured = quality(boosted)
    hidden = round(0.3 * made.data.train.n_interactions)
    assert measured["hidden_interactions"] == pytest.approx(hidden, rel=0.1)
    # with 60 of 81 items as candidates nearly all that is hidden must be among them
    assert 0.6 * measured["hidden_interactions"] < measured["positives"] <= measured["hidden_interactions"]
    assert measured["mean_chance"] == pytest.approx(measured["base_rate"], rel=0.1)


def test_several_hidings_give_more_to_fit_on(made: Made, boosted: Artifact) -> None:
    second = write_hidden(made.at / "hidden-1", made.candidates, CalibrationConfig(share=0.3, seed=1))
    both = write_found(
        made.at / "both", made.candidates, made.pretrained, [made.hidden, second], trees=made.trees
    )
    alone = write_found(made.at / "second", made.candidates, made.pretrained, second, trees=made.trees)
    both_hidden = quality(boosted)["hidden_interactions"] + quality(alone)["hidden_interactions"]
    assert quality(both)["hidden_interactions"] == both_hidden
    # the second one alone may choose another shrinkage of the graph, and so has its own candidates
    for name in ("pairs", "positives"):
        assert quality(both)[name] == pytest.approx(quality(boosted)[name] + quality(alone)[name], rel=0.05)
    assert quality(both)["auc"] > 0.7
    assert both.manifest["inputs"]["hidden_1"] == second.digest
    assert judged(both)["item"].equals(judged(boosted)["item"])


def test_a_judge_adds_what_it_knows(made: Made, boosted: Artifact) -> None:
    calibration = write_calibration(
        made.at / "calibration", made.candidates, made.trees, made.hidden, PrefixJudge()
    )
    by_judge = write_judged(made.at / "judged", made.candidates, made.trees, calibration)
    pair = (by_judge, [calibration])
    alone = made.found("judge-alone", trees=None, judge=pair, groups=["judge"], classifier="logistic")
    assert quality(alone)["pairs"] == quality(boosted)["pairs"]
    # The judge saw 20 of up to 60 candidates, and knows nothing of the others.
    assert quality(alone)["auc"] > 0.55
    summary = json.loads((alone.path / "summary.json").read_bytes())
    for means in (summary["feature_means"], summary["feature_means_when_fitted"]):
        assert means.keys() == {"judge_logit"}
        assert (
            -7 < means["judge_logit"] < 0
        )  # chances of some per cent; where there is none, it counts for none
    everything = made.found("everything", judge=pair)
    assert everything.config["groups"] == list(GROUPS)
    assert quality(everything)["auc"] > 0.7
    with pytest.raises(ConfigError, match="need a judge's chances"):
        made.found("x", groups=["trees", "judge"])
    with pytest.raises(ConfigError, match="was not judged with"):
        made.found("x", judge=(boosted, [calibration]))
    other = write_hidden(made.at / "other-hidden", made.candidates, CalibrationConfig(share=0.3, seed=1))
    with pytest.raises(ConfigError, match="no calibration of the judge"):
        write_found(made.at / "x", made.candidates, made.pretrained, other, judge=pair)


def test_what_does_not_belong_together_is_refused(made: Made) -> None:
    with pytest.raises(ConfigError, match="need trees"):
        made.found("x", trees=None, groups=["trees"])
    with pytest.raises(ConfigError, match="features without them"):
        made.found("x", groups=["graph"])
    other = write_pretrained(made.at / "other", made.data.train, QUICK.model_copy(update={"seed": 1}))
    with pytest.raises(ConfigError, match="another model"):
        write_found(made.at / "x", made.candidates, other, made.hidden)
    elsewhere = plant(
        made.at / "data2", users=50, branching=3, leaf_size=3, exposed=1.0, interactions=10, seed=1
    )
    foreign = write_pretrained(made.at / "foreign", elsewhere.train, QUICK)
    with pytest.raises(LeakageError):
        write_found(made.at / "x", made.candidates, foreign, made.hidden)


def test_no_chance_comes_from_a_fit_that_has_seen_the_user() -> None:
    """Turning one fold's labels round changes what other users get, and not the logits of that fold's own."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(200), 10)
    features = rng.normal(size=(2000, 2)).astype(np.float32)
    hidden = rng.random(2000) < 1 / (1 + np.exp(2 - 2 * features[:, 0]))
    fitted = fit_classifier("logistic", features, hidden, users, 200)
    held = fitted.calibration.fold_of_user[users] == 0
    turned = fit_classifier("logistic", features, hidden ^ held, users, 200)
    np.testing.assert_array_equal(
        fitted.parts[0].decision_function(features[held]), turned.parts[0].decision_function(features[held])
    )
    assert not np.allclose(
        fitted.parts[1].decision_function(features), turned.parts[1].decision_function(features)
    )
    np.testing.assert_allclose(fitted.chances(features, users), fitted.calibration.out_of_fold, rtol=1e-6)
