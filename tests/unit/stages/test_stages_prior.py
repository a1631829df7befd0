"""The prior: log-odds by hand, a weight that validation chooses, and nothing of other training data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dtlns.artifacts import Artifact, Spec, make_artifact
from dtlns.data.dataset import Dataset
from dtlns.data.planted import plant
from dtlns.data.splits import split_dataset
from dtlns.data.views import ValidView
from dtlns.errors import ConfigError, DataError, LeakageError
from dtlns.evaluation.selector import Selector
from dtlns.models.registry import load_scorer
from dtlns.stages.judging import KIND
from dtlns.stages.prior import WEIGHTS, chosen_weight, load_prior, write_prior_alone, write_with_prior
from dtlns.stages.training import write_model
from dtlns.training.result import TrainedModel
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig


@dataclass
class World:
    """A split planted world, and a poor host that a prior can help."""

    at: Path
    data: Dataset
    host: Artifact

    def judged(self, name: str, chance: np.ndarray) -> Artifact:
        """Judge every unobserved pair: chance float [U, I]."""
        train = self.data.train
        users, items = np.nonzero(train.csr().toarray() == 0)
        frame = pl.DataFrame(
            {
                "user": users.astype(np.uint32),
                "item": items.astype(np.uint32),
                "rank": np.zeros(len(users), np.uint16),
                "p_hidden": chance[users, items].astype(np.float32),
            }
        )
        return make_artifact(
            self.at / name,
            Spec(KIND, {"judge": "by hand"}, {}, train.digest),
            lambda folder: frame.write_parquet(folder / "judged.parquet"),
        )

    def held(self, view: ValidView) -> np.ndarray:
        """Chances that are high for held-out pairs, float [U, I]."""
        train = self.data.train
        chance = np.full((train.n_users, train.n_items), 0.01)
        users = np.repeat(np.arange(len(view.indptr) - 1), np.diff(view.indptr))
        warm = (users < train.n_users) & (view.indices < train.n_items)
        chance[users[warm], view.indices[warm]] = 0.5
        return chance


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    at = tmp_path_factory.mktemp("prior")
    data = plant(at / "data", users=120, branching=3, leaf_size=3, exposed=1.0, interactions=12)
    settings = TrainConfig(
        model=ModelConfig(name="mf", dimensions=4), sampler=SamplerConfig(name="uniform"), epochs=2
    )
    return World(at, data, write_model(at / "host", data, settings))


def test_the_prior_is_the_log_odds_above_the_least(world: World) -> None:
    chance = np.full((world.data.train.n_users, world.data.train.n_items), 0.1)
    judged = world.judged("odds", chance)
    users, items = np.nonzero(world.data.train.csr().toarray() == 0)
    pl.read_parquet(judged.path / "judged.parquet").with_columns(
        p_hidden=pl.when(pl.int_range(pl.len()) == 0).then(0.5).otherwise(0.1).cast(pl.Float32)
    ).write_parquet(judged.path / "judged.parquet")
    prior = load_prior(judged, *chance.shape).toarray()
    assert prior[users[0], items[0]] == pytest.approx(np.log(9), rel=1e-5)  # log-odds 0 and -log 9
    assert np.count_nonzero(prior) == 1


def test_validation_takes_a_prior_that_helps_and_refuses_one_that_does_not(world: World) -> None:
    assert world.data.valid is not None
    helps = world.held(world.data.valid)
    misleads = 0.51 - helps
    base = TrainedModel.load(world.host.path)
    select = Selector(world.data.train, world.data.valid)
    good = write_with_prior(world.at / "good", world.host, world.judged("helps", helps), world.data)
    assert chosen_weight(good, "recall@20") > 0
    assert select(load_scorer(good.path)) > 2 * select(base.scorer)
    bad = write_with_prior(world.at / "bad", world.host, world.judged("misleads", misleads), world.data)
    assert chosen_weight(bad, "recall@20") == 0
    users = np.arange(5)
    assert np.array_equal(load_scorer(bad.path).score(users), base.scorer.score(users))
    tried = [record for record in TrainedModel.load(good.path).history if "prior" in record]
    assert [record["prior"] for record in tried] == list(WEIGHTS)


def test_the_prior_alone_ranks_by_chance(world: World) -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.01, 0.6, (world.data.train.n_users, world.data.train.n_items))
    alone = write_prior_alone(world.at / "alone", world.judged("random", chance), world.data)
    scores = load_scorer(alone.path).score(np.arange(3))
    for user in range(3):
        free = np.flatnonzero(world.data.train.csr()[[user]].toarray()[0] == 0)
        assert np.array_equal(free[np.argsort(-scores[user, free])], free[np.argsort(-chance[user, free])])


def test_chances_of_other_training_data_are_refused(world: World) -> None:
    other = split_dataset(
        world.data, world.at / "other", by="random", valid=0.2, test=0.1, seed=1, resplit=True
    )
    judged = world.judged("mine", np.full((world.data.train.n_users, world.data.train.n_items), 0.1))
    with pytest.raises(LeakageError):
        write_with_prior(world.at / "x", world.host, judged, other)
    with pytest.raises(LeakageError):
        write_prior_alone(world.at / "x", judged, other)
    assert not (world.at / "x").exists()


def test_a_weight_needs_validation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = world.judged("again", np.full((world.data.train.n_users, world.data.train.n_items), 0.1))
    monkeypatch.setitem(vars(world.data), "valid", None)
    with pytest.raises(DataError, match="no validation pairs"):
        write_with_prior(world.at / "y", world.host, judged, world.data)


def test_a_prior_is_neither_added_twice_nor_lost_in_a_start(world: World) -> None:
    judged = world.judged("twice", np.full((world.data.train.n_users, world.data.train.n_items), 0.1))
    once = write_with_prior(world.at / "once", world.host, judged, world.data)
    with pytest.raises(ConfigError, match="has a prior already"):
        write_with_prior(world.at / "z", once, judged, world.data)
    settings = TrainConfig.model_validate(
        {name: once.config[name] for name in ("model", "sampler", "epochs")}
    )
    with pytest.raises(ConfigError, match="which training would lose"):
        write_model(world.at / "z", world.data, settings, start=once)
    other = settings.model_copy(update={"model": ModelConfig(name="lightgcn", dimensions=4)})
    with pytest.raises(ConfigError, match="a start of model 'mf' for model 'lightgcn'"):
        write_model(world.at / "z", world.data, other, start=world.host)
    assert not (world.at / "z").exists()
