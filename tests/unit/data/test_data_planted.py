"""Planted worlds follow the numbers of their setting, and their truth survives a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dtlns.data.dataset import Dataset
from dtlns.data.importing import import_dataset
from dtlns.data.planted import SETTINGS, PlantedSettings, PlantedTruth, load_truth, plant
from dtlns.data.splits import split_dataset
from dtlns.errors import ArtifactError, InputError


@pytest.fixture(scope="module", params=["easy", "hard"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Dataset]:
    path = tmp_path_factory.mktemp("planted") / request.param
    return request.param, plant(path, request.param, seed=5, split=None)


def liked_mask(truth: PlantedTruth, users: int, items: int) -> np.ndarray:
    mask = np.zeros((users, items), dtype=bool)
    mask[np.repeat(np.arange(users), np.diff(truth.liked_indptr)), truth.liked] = True
    return mask


def test_settings_are_the_fixed_numbers() -> None:
    easy, hard = SETTINGS["easy"], SETTINGS["hard"]
    assert (easy.users, easy.n_items, easy.n_liked, easy.n_exposed, easy.interactions) == (
        2000,
        1024,
        64,
        32,
        30,
    )
    assert easy.shares == (0.8, 0.15, 0.05)
    assert (hard.users, hard.n_items, hard.n_liked, hard.n_exposed, hard.interactions) == (
        2000,
        1024,
        128,
        64,
        15,
    )
    assert hard.shares == (0.5, 0.3, 0.2)
    assert (easy.skew, hard.skew) == (0.0, 1.0)


def test_hierarchy_and_likes(world: tuple[str, Dataset]) -> None:
    name, data = world
    truth = load_truth(data)
    _, sizes = np.unique(truth.paths, axis=0, return_counts=True)
    assert sizes.tolist() == [16] * 64
    assert truth.paths.max() == 3
    homes = SETTINGS[name].home_branches
    for user in range(0, 2000, 97):
        liked = truth.liked[truth.liked_indptr[user] : truth.liked_indptr[user + 1]]
        paths = np.unique(truth.paths[liked], axis=0)
        assert len(liked) == 64 * homes
        assert len(paths) == 4 * homes  # two leaves in each of two sub-branches of each home branch
        assert np.unique(paths[:, 0]).tolist() == truth.homes[user].tolist()
        _, leaves = np.unique(paths[:, :2], axis=0, return_counts=True)
        assert leaves.tolist() == [2] * (2 * homes)
    assert truth.exposed.reshape(2000, -1).sum(1).tolist() == [32 * homes] * 2000


def test_interactions_come_from_where_they_should(world: tuple[str, Dataset]) -> None:
    name, data = world
    settings, truth, train = SETTINGS[name], load_truth(data), data.train
    assert set(train.user_counts.tolist()) == {settings.interactions}
    exposed = np.zeros((2000, 1024), dtype=bool)
    owner = np.repeat(np.arange(2000), np.diff(truth.liked_indptr))
    exposed[owner[truth.exposed], truth.liked[truth.exposed]] = True
    users, items = train.user_of_interaction, train.indices
    at_home = (truth.paths[items, 0][:, None] == truth.homes[users]).any(1)
    in_liked = liked_mask(truth, 2000, 1024)[users, items]
    # "Anywhere" falls into the other two sets by chance too: known shares of the catalogue.
    anywhere = settings.shares[2]
    liked_share, home_share = settings.n_liked / 1024, settings.home_branches / 4
    expected_exposed = settings.shares[0] + anywhere * liked_share / 2
    expected_away = anywhere * (1 - home_share)
    assert abs(exposed[users, items].mean() - expected_exposed) < 0.012
    assert abs((~at_home).mean() - expected_away) < 0.012
    assert (
        abs((at_home & ~in_liked).mean() - (settings.shares[1] + anywhere * (home_share - liked_share)))
        < 0.012
    )


def test_popularity_within_leaves(world: tuple[str, Dataset]) -> None:
    name, data = world
    truth = load_truth(data)
    by_rank = np.bincount(truth.ranks, weights=data.train.item_counts, minlength=16)
    if name == "easy":
        assert by_rank.max() / by_rank.min() < 1.1
    else:
        # Drawn without replacement the head is somewhat flatter than 1/rank, which gives 16.
        assert (np.diff(by_rank) < 0).all()
        assert 6 < by_rank[0] / by_rank[15] < 16


def test_indexes_say_nothing_about_the_hierarchy(world: tuple[str, Dataset]) -> None:
    truth = load_truth(world[1])
    same = (truth.paths[1:, 0] == truth.paths[:-1, 0]).mean()
    assert abs(same - 0.25) < 0.06


def test_same_seed_same_bytes_and_truth_survives_a_split(tmp_path: Path) -> None:
    one = plant(tmp_path / "one", "hard", users=300, seed=2)
    two = plant(tmp_path / "two", "hard", users=300, seed=2)
    other = plant(tmp_path / "other", "hard", users=300, seed=3)
    assert one.digest == two.digest != other.digest
    timed = split_dataset(one, tmp_path / "timed", by="time", resplit=True)
    before, after = load_truth(one), load_truth(timed)
    place = {item: index for index, item in enumerate(timed.items["id"].to_list())}
    moved = [place[item] for item in one.items["id"].to_list()]
    assert after.paths[moved].tolist() == before.paths.tolist()
    person = {user: index for index, user in enumerate(timed.users["id"].to_list())}
    mask = liked_mask(after, 300, 1024)[[person[user] for user in one.users["id"].to_list()]][:, moved]
    assert (mask == liked_mask(before, 300, 1024)).all()


@pytest.mark.parametrize(("users", "interactions"), [(10, 10), (5000, 4)])
def test_sizes_from_a_hundred_on(tmp_path: Path, users: int, interactions: int) -> None:
    data = plant(tmp_path / "d", users=users, interactions=interactions, split=None)
    assert data.train.n_interactions == users * interactions


def test_impossible_worlds_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 32 liked and exposed items"):
        plant(tmp_path / "d", "easy", interactions=40)
    with pytest.raises(InputError, match="home_branches is 5"):
        plant(tmp_path / "d", "easy", home_branches=5)
    with pytest.raises(InputError, match="the shares are"):
        plant(tmp_path / "d", "easy", shares=(0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="'medium' is unknown"):
        plant(tmp_path / "d", "medium")
    with pytest.raises(InputError, match="exposed share is 0"):
        PlantedSettings(exposed=0.0).check()
    assert not (tmp_path / "d").exists()


def test_other_data_has_no_truth(tmp_path: Path) -> None:
    data = plant(tmp_path / "d", users=50)
    (tmp_path / "log.csv").write_text("user,item\n1,2\n2,3\n")
    with pytest.raises(ArtifactError, match="is not a planted data set"):
        load_truth(import_dataset(tmp_path / "log.csv", tmp_path / "e"))
    assert load_truth(data.path).paths.shape == (1024, 3)
