"""Identification on a planted world: oracle perfect, random codes worth nothing, the judge between."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dtlns.artifacts import Artifact
from dtlns.config import CalibrationConfig, CodesControl, TreesConfig
from dtlns.data.dataset import Dataset
from dtlns.data.planted import plant
from dtlns.data.planted_truth import load_truth
from dtlns.errors import ConfigError, LeakageError
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.reliability_plot import plot_reliability
from dtlns.stages.calibration import load_folds, write_calibration
from dtlns.stages.candidates import write_candidates
from dtlns.stages.controls import write_control
from dtlns.stages.hidden import write_hidden
from dtlns.stages.identification import measure_identification, write_identification
from dtlns.stages.judging import write_judged
from dtlns.stages.pretrain import write_pretrained
from dtlns.stages.trees import write_trees
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

QUICK = TrainConfig(
    model=ModelConfig(name="mf", dimensions=16), sampler=SamplerConfig(name="uniform"), epochs=5
)


@dataclass
class World:
    """A planted world up to its candidates, and judges of it."""

    at: Path
    data: Dataset
    pretrained: Artifact
    candidates: Artifact
    hidden: Artifact

    def judge(self, codes: CodesControl) -> tuple[Artifact, Artifact]:
        settings = TreesConfig(codes=codes, max_leaf_size=5)
        trees = write_trees(
            self.at / codes, self.data.train, settings, semantic=self.pretrained, if_exists="reuse"
        )
        fitted = write_calibration(
            self.at / f"calibration-{codes}",
            self.candidates,
            trees,
            self.hidden,
            PrefixJudge(),
            if_exists="reuse",
        )
        judged = write_judged(self.at / f"judged-{codes}", self.candidates, trees, fitted, if_exists="reuse")
        return fitted, judged


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    at = tmp_path_factory.mktemp("identification")
    data = plant(at / "data", users=600, branching=3, leaf_size=6, interactions=12)
    pretrained = write_pretrained(at / "pretrained", data.train, QUICK)
    candidates = write_candidates(at / "candidates", data.train, pretrained, 20, hide_by="random")
    hidden = write_hidden(at / "hidden", candidates, CalibrationConfig(share=0.3))
    return World(at, data, pretrained, candidates, hidden)


def _standard_error(found: dict[str, Any]) -> float:
    """Of the AUC of a score that knows nothing (Mann and Whitney)."""
    positives, negatives = found["positives"], found["pairs"] - found["positives"]
    return float(np.sqrt((positives + negatives + 1) / (12 * positives * negatives)))


def test_oracle_is_perfect_random_codes_know_nothing_and_the_judge_is_between(world: World) -> None:
    control = write_control(world.at / "oracle", world.candidates, "oracle", data=world.data)
    oracle = measure_identification(control, data=world.data)
    assert oracle["auc"] == oracle["auc_within_users"] == oracle["average_precision"] == 1
    assert oracle["called"]["precision"] == 1
    assert oracle["calibration_error"] == 0
    for codes in ("random", "shuffled"):
        for artifact, data in zip(world.judge(codes), (None, world.data), strict=True):
            found = measure_identification(artifact, data=data)
            # Four standard errors: candidates of one user share a history, and are not quite independent.
            assert found["auc"] == pytest.approx(0.5, abs=4 * _standard_error(found))
            assert found["codes"] == codes
    fitted, judged = world.judge("built")
    for artifact, data in ((fitted, None), (judged, world.data)):
        found = measure_identification(artifact, data=data)
        assert 0.5 + 4 * _standard_error(found) < found["auc_within_users"] < 1
        assert found["called"]["lift"] > 1.1


def test_what_is_measured_comes_from_fits_without_the_user(world: World) -> None:
    fitted, judged = world.judge("built")
    frame = pl.read_parquet(judged.path / "judged.parquet")
    folds, fold_of_user = load_folds(fitted)
    scores = frame.select(f"score_{name}" for name in folds[0].columns).to_numpy()
    fold = fold_of_user[frame["user"].to_numpy()]
    for held, part in enumerate(folds):
        expected = part.p_hidden(scores[fold == held])
        assert np.array_equal(frame["p_unseen"].to_numpy()[fold == held], expected)
    assert not np.array_equal(frame["p_unseen"].to_numpy(), frame["p_hidden"].to_numpy())


def test_truth_is_counted(world: World) -> None:
    fitted, judged = world.judge("built")
    hidden = measure_identification(fitted)
    frame = pl.read_parquet(fitted.path / "out_of_fold.parquet")
    assert hidden["positives"] == frame["hidden"].sum()
    assert (
        hidden["positives"]
        < hidden["truth_total"]
        == pytest.approx(0.3 * world.data.train.n_interactions, rel=0.1)
    )
    planted = measure_identification(judged, data=world.data)
    truth, train = load_truth(world.data), world.data.train
    owners = np.repeat(np.arange(world.data.n_users), np.diff(truth.liked_indptr))
    liked = set(zip(owners.tolist(), truth.liked.tolist(), strict=True))
    trained = set(zip(train.user_of_interaction.tolist(), train.indices.tolist(), strict=True))
    left = {(user, item) for user, item in liked - trained if item < train.n_items}
    assert planted["truth_total"] == len(left)
    frame = pl.read_parquet(judged.path / "judged.parquet")
    assert planted["positives"] == len(left & set(frame.select("user", "item").iter_rows()))


def test_the_artefact_holds_what_is_returned_and_a_plot(world: World) -> None:
    fitted, _ = world.judge("built")
    artifact = write_identification(world.at / "quality", fitted, top=3)
    kept = json.loads((artifact.path / "identification.json").read_bytes())
    assert kept == measure_identification(fitted, top=3)
    assert kept["called"]["pairs"] == 3 * world.data.n_train_users
    plot = (artifact.path / "reliability.svg").read_text(encoding="utf-8")
    assert "positives hidden from training" in plot
    again = write_identification(world.at / "quality", fitted, top=3, if_exists="replace")
    assert again.digest == artifact.digest


def test_a_plot_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    bins = [
        {"predicted": 0.01, "observed": 0.0, "pairs": 50},
        {"predicted": 0.2, "observed": 0.3, "pairs": 50},
    ]
    digests = []
    for name in ("a.svg", "b.svg"):
        plot_reliability(tmp_path / name, bins, "two bins")
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_the_truth_must_fit(world: World, tmp_path: Path) -> None:
    fitted, judged = world.judge("built")
    with pytest.raises(ConfigError, match="without a data set"):
        measure_identification(fitted, data=world.data)
    with pytest.raises(ConfigError, match="has no truth"):
        measure_identification(judged)
    other = plant(tmp_path / "other", users=600, branching=3, leaf_size=6, interactions=12, seed=1)
    with pytest.raises(LeakageError):
        measure_identification(judged, data=other)
