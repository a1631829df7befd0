"""Controls: other codes, one view alone, and what calibration rebuilds of them; no judge; oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dtlns import PathCodes
from dtlns.artifacts import Artifact
from dtlns.config import CalibrationConfig, SelectionConfig, TreesConfig, checked
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.noise import inject_noise
from dtlns.data.planted import plant
from dtlns.data.planted_truth import load_truth
from dtlns.data.store import write_dataset
from dtlns.errors import ArtifactError, ConfigError, LeakageError
from dtlns.judges.prefix import PrefixJudge
from dtlns.stages.calibration import load_calibration, rebuild_codes, write_calibration
from dtlns.stages.candidates import load_candidates, write_candidates
from dtlns.stages.controls import write_control
from dtlns.stages.hidden import load_hidden, search, write_hidden
from dtlns.stages.judging import write_judged
from dtlns.stages.pretrain import load_pretrained, write_pretrained
from dtlns.stages.selection import refresher, select_false_negatives
from dtlns.stages.training import write_model
from dtlns.stages.trees import load_codes, load_trees, write_trees
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

QUICK = TrainConfig(
    model=ModelConfig(name="mf", dimensions=8), sampler=SamplerConfig(name="uniform"), epochs=3
)


@dataclass
class Made:
    """What the tests share."""

    at: Path
    data: Dataset
    pretrained: Artifact
    candidates: Artifact
    hidden: Artifact

    def trees(self, **settings: object) -> Artifact:
        name = "-".join(str(value) for value in settings.values()) or "built"
        config = checked(TreesConfig, settings | {"max_leaf_size": 5}, "test")
        return write_trees(
            self.at / name, self.data.train, config, semantic=self.pretrained, if_exists="reuse"
        )

    def rebuilt(self, trees: Artifact) -> dict[str, PathCodes]:
        there = search(self.candidates, self.hidden)
        return rebuild_codes(trees, there.visible, there.scorer)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    at = tmp_path_factory.mktemp("controls")
    data = plant(at / "data", users=120, branching=3, leaf_size=3, exposed=1.0, interactions=10)
    pretrained = write_pretrained(at / "pretrained", data.train, QUICK)
    candidates = write_candidates(at / "candidates", data.train, pretrained, 20, hide_by="random")
    hidden = write_hidden(at / "hidden", candidates, CalibrationConfig(share=0.3))
    return Made(at, data, pretrained, candidates, hidden)


def test_hidden_half_is_shared_and_has_not_seen_what_is_hidden(made: Made) -> None:
    hidden, scorer = load_hidden(made.hidden)
    assert hidden.shape == (made.data.train.n_interactions,)
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)
    assert scorer.item_vectors.shape == (made.data.train.n_items, 8)
    # how many candidates are judged, and which trees there are, changes nothing about it
    fewer = write_candidates(made.at / "fewer", made.data.train, made.pretrained, 5, hide_by="random")
    again = write_hidden(made.at / "hidden", fewer, CalibrationConfig(share=0.3), if_exists="reuse")
    assert again.digest == made.hidden.digest
    assert again.facts == made.hidden.facts
    there = search(made.candidates, made.hidden)
    assert there.visible.n_interactions == int((~hidden).sum())
    assert there.hidden == int(hidden.sum())


def test_a_hidden_half_of_another_pretraining_is_refused(made: Made) -> None:
    longer = QUICK.model_copy(update={"epochs": 4})
    pretrained = write_pretrained(made.at / "longer", made.data.train, longer)
    other = write_candidates(made.at / "other", made.data.train, pretrained, 20, hide_by="random")
    with pytest.raises(ConfigError, match="pretrained with other settings"):
        write_calibration(made.at / "refused", other, made.trees(), made.hidden, PrefixJudge())


def test_shuffled_codes_are_the_right_ones_on_wrong_items_and_differ_between_views(made: Made) -> None:
    built, shuffled = load_codes(made.trees()), load_codes(made.trees(codes="shuffled"))
    orders = []
    for name, codes in shuffled.items():
        assert not codes.equals(built[name])
        assert sorted(codes.to_paths()) == sorted(built[name].to_paths())
        at = [built[name].to_paths().index(path) for path in codes.to_paths()]
        orders.append(at)
    assert orders[0] != orders[1]
    # another seed, another permutation
    assert not load_codes(made.trees(codes="shuffled", seed=1))["structural"].equals(shuffled["structural"])


def test_views_are_permuted_differently_even_when_their_trees_are_equal(made: Made) -> None:
    vectors = np.random.default_rng(0).normal(size=(made.data.train.n_items, 4)).astype(np.float32)
    settings = TreesConfig(codes="shuffled", max_leaf_size=5)
    views = {"structural": vectors, "semantic": vectors}
    artifact = write_trees(made.at / "equal", made.data.train, settings, semantic=None, external=views)
    trees, codes = load_trees(artifact), load_codes(artifact)
    assert trees["structural"].codes.equals(trees["semantic"].codes)
    assert not codes["structural"].equals(codes["semantic"])


def test_random_codes_keep_each_items_depth(made: Made) -> None:
    built, drawn = load_codes(made.trees()), load_codes(made.trees(codes="random"))
    for name, codes in drawn.items():
        assert (codes.depth == built[name].depth).all()
        assert codes.n_leaves > built[name].n_leaves  # items of one leaf no longer share a code


@pytest.mark.parametrize("codes", ["built", "shuffled", "random"])
@pytest.mark.parametrize("views", [("structural",), ("semantic",), ("structural", "semantic")])
def test_calibration_rebuilds_the_same_views_under_the_same_control(
    made: Made, codes: str, views: tuple[str, ...]
) -> None:
    trees = made.trees(codes=codes, views=views)
    assert tuple(load_codes(trees)) == views
    rebuilt = made.rebuilt(trees)
    assert tuple(rebuilt) == views
    plain = made.rebuilt(made.trees(views=views))
    assert all(rebuilt[name].equals(plain[name]) == (codes == "built") for name in views)
    if codes == "random":
        assert all((rebuilt[name].depth == plain[name].depth).all() for name in views)
    fitted, _ = load_calibration(
        write_calibration(
            made.at / f"calibration-{codes}-{len(views)}-{views[0]}",
            made.candidates,
            trees,
            made.hidden,
            PrefixJudge(),
            if_exists="reuse",
        )
    )
    assert fitted.columns == [*views, "log2_history"]


def test_the_semantic_view_needs_a_model_and_the_structural_one_does_not(made: Made) -> None:
    with pytest.raises(ConfigError, match="pretrained model"):
        write_trees(made.at / "none", made.data.train, TreesConfig(), semantic=None)
    settings = TreesConfig(views=("structural",))
    artifact = write_trees(made.at / "alone", made.data.train, settings, semantic=None)
    assert artifact.manifest["inputs"] == {}


@pytest.mark.parametrize("views", [(), ("structural", "structural"), ("images",)])
def test_wrong_views_are_refused(views: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="views"):
        checked(TreesConfig, {"views": views}, "test")


def _judged(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.path / "judged.parquet")


def test_without_a_judge_only_the_rank_is_left(made: Made) -> None:
    control = write_control(made.at / "no-judge", made.candidates, "no-judge", hidden=made.hidden)
    chances = _judged(control)["p_hidden"]
    there = search(made.candidates, made.hidden)
    assert chances.n_unique() == 1
    assert chances[0] == pytest.approx(there.found.sum() / len(there.found))
    sizes = made.data.n_train_users, made.data.n_train_items
    best = select_false_negatives(control, *sizes, "exclude", SelectionConfig(top=3))
    found, _ = load_candidates(made.candidates)
    assert (best.indices.reshape(-1, 3) == np.sort(found.items[:, :3], axis=1)).all()


def test_the_oracle_knows_the_planted_truth_and_adds_nothing_else(made: Made) -> None:
    control = write_control(made.at / "oracle", made.candidates, "oracle", data=made.data)
    truth, frame = load_truth(made.data), _judged(control)
    liked = [set(truth.liked[a:b]) for a, b in pairwise(truth.liked_indptr)]
    expected = [item in liked[user] for user, item in zip(frame["user"], frame["item"], strict=True)]
    assert frame["p_hidden"].to_list() == [float(value) for value in expected]
    sizes = made.data.n_train_users, made.data.n_train_items
    taken = select_false_negatives(control, *sizes, "positive", SelectionConfig(top=20))
    assert taken.n_pairs == sum(expected) < len(expected)


def test_controls_refuse_what_they_cannot_work_with(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs hidden positives"):
        write_control(tmp_path / "x", made.candidates, "no-judge")
    with pytest.raises(ConfigError, match="needs the planted data set"):
        write_control(tmp_path / "x", made.candidates, "oracle")
    noisy = inject_noise(made.data, tmp_path / "noisy", 0.1)
    with pytest.raises(LeakageError):
        write_control(tmp_path / "x", made.candidates, "oracle", data=noisy)
    logged = made.data.frame().select("user", "item", "split")
    write_dataset(tmp_path / "log", logged, name="log", config={"split": {"by": "source"}})
    log = load_dataset(tmp_path / "log")
    pretrained = write_pretrained(tmp_path / "pretrained", log.train, QUICK)
    candidates = write_candidates(tmp_path / "c", log.train, pretrained, 5, hide_by="random")
    with pytest.raises(ArtifactError, match="not a planted data set"):
        write_control(tmp_path / "x", candidates, "oracle", data=log)
    assert not (tmp_path / "x").exists()


def test_a_refresh_with_the_pretrained_model_finds_what_was_judged(made: Made) -> None:
    trees, train = made.trees(), made.data.train
    calibration = write_calibration(made.at / "cal", made.candidates, trees, made.hidden, PrefixJudge())
    judged = write_judged(made.at / "judged", made.candidates, trees, calibration)
    selection = SelectionConfig(top=4, scale=3.0)
    again = refresher(judged, trees, calibration, train, "weighted", selection)(
        load_pretrained(made.pretrained)
    )
    first = select_false_negatives(judged, train.n_users, train.n_items, "weighted", selection)
    assert again.digest == first.digest
    settings = QUICK.model_copy(update={"false_negatives": "weighted", "refresh_every": 1})
    told = {"trees": trees, "judged": judged, "calibration": calibration, "selection": selection}
    fresh = write_model(made.at / "fresh", made.data, settings, **told)
    once = settings.model_copy(update={"refresh_every": 0})
    kept = write_model(made.at / "kept", made.data, once, **told)
    assert fresh.digest != kept.digest
    assert set(fresh.manifest["inputs"]) - set(kept.manifest["inputs"]) == {"trees", "calibration"}
    losses = [
        [json.loads(line)["loss"] for line in (artifact.path / "metrics.jsonl").read_text().splitlines()]
        for artifact in (fresh, kept)
    ]
    assert losses[0][0] == losses[1][0]  # the first epoch has what was judged
    assert losses[0][1:] != losses[1][1:]


def test_a_refresh_is_refused_without_what_it_needs(made: Made) -> None:
    trees, train = made.trees(), made.data.train
    calibration = write_calibration(made.at / "cal-2", made.candidates, trees, made.hidden, PrefixJudge())
    judged = write_judged(made.at / "judged-2", made.candidates, trees, calibration)
    settings = QUICK.model_copy(update={"false_negatives": "weighted", "refresh_every": 1})
    with pytest.raises(ConfigError, match=r"cannot be found anew each 1 epochs .* hint: give --false-neg"):
        write_model(made.at / "refused-model", made.data, settings, trees=trees, judged=judged)
    other = made.trees(codes="random")
    with pytest.raises(ConfigError, match="was judged with other trees than"):
        refresher(judged, other, calibration, train, "weighted", SelectionConfig())
    control = write_control(made.at / "control-2", made.candidates, "no-judge", hidden=made.hidden)
    with pytest.raises(ConfigError, match="comes from 'no-judge', which cannot be asked again"):
        refresher(control, trees, calibration, train, "weighted", SelectionConfig())
