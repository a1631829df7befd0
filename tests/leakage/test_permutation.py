"""Held-out pairs leave no trace: permute them, and everything up to the final model keeps its bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dtlns.artifacts import open_artifact
from dtlns.best_recipe import run_best
from dtlns.config import DEFAULT_PRETRAIN, DEFAULT_TRAIN, BestConfig, RunConfig
from dtlns.data.dataset import load_dataset
from dtlns.data.importing import import_dataset
from dtlns.errors import ArtifactError
from dtlns.evaluation.selector import Selector
from dtlns.pipeline import run
from dtlns.stages.false_negative_model import write_found
from dtlns.stages.training import write_model
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.trainer import train as fit

UPSTREAM = ("pretrained", "trees", "candidates", "hidden", "calibration", "judged", "found")
N_USERS, N_ITEMS = 120, 90


def _id(item: int) -> int:
    """Ids in the source: above all users, with a gap after each item."""
    return 2 * N_USERS + 2 * item


def _write_log(folder: Path, *, valid_seed: int, test_seed: int) -> Path:
    """A DTL-NS folder with clustered training rows, and held-out pairs that depend on the seeds alone.

    Their number, the users that have any, and the cold ones depend on the seeds too.
    """
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    free = []
    for user in range(N_USERS):
        home = rng.permutation(30) + 30 * (user % 3)
        taken = np.unique(np.concatenate([home[:14], rng.integers(0, N_ITEMS, 2)]))
        lines["train"] += [f"{user} {_id(item)}" for item in taken]
        free.append(np.setdiff1d(np.arange(N_ITEMS), taken))
    assert len(np.unique([line.split()[1] for line in lines["train"]])) == N_ITEMS
    for user in range(N_USERS):
        # validation from the even unobserved items, test from the odd ones: no pair is in both
        for part, seed, half in (("valid", valid_seed, 0), ("test", test_seed, 1)):
            pool = free[user][free[user] % 2 == half]
            rng = np.random.default_rng([seed, user])
            held = rng.choice(pool, rng.integers(0, 6), replace=False)
            lines[part] += [f"{user} {_id(item)}" for item in held]
    for part, seed in (("valid", valid_seed), ("test", test_seed)):
        # items and users that only held-out rows have; the ids of the items lie among the training items
        rng = np.random.default_rng([seed, N_USERS])
        cold = rng.choice(N_ITEMS, 5 + seed, replace=False)
        lines[part] += [f"{user} {_id(item) + 1}" for user, item in enumerate(cold)]
        lines[part] += [f"{N_USERS + user} {_id(len(part))}" for user in range(2 + seed)]
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return folder


def _run(base: Path, name: str, *, valid_seed: int, test_seed: int) -> Path:
    log = _write_log(base / f"{name}-log", valid_seed=valid_seed, test_seed=test_seed)
    import_dataset(log, base / f"{name}-data")
    quick = {"epochs": 6, "batch_size": 512}
    pretrain = DEFAULT_PRETRAIN.model_copy(update=quick)
    host = DEFAULT_TRAIN.model_copy(update=quick | {"validate_every": 2, "model": ModelConfig(name="mf")})
    config = RunConfig(data=str(base / f"{name}-data"), pretrain=pretrain, train=host)
    run(config, base / name, device="cpu")
    made = [
        open_artifact(base / name / kind, kind) for kind in ("candidates", "pretrained", "hidden", "trees")
    ]
    write_found(base / name / "found", *made[:3], trees=made[3])
    return base / name


def _best(runs: dict[str, Path], base: Path, name: str) -> Path:
    """The recommended recipe on the data of a run."""
    default = BestConfig(data=str(runs[name].with_name(f"{name}-data")), hidings=2)
    host = default.train.model_copy(update={"epochs": 5, "batch_size": 512, "validate_every": 1})
    run_best(default.model_copy(update={"train": host, "trial": 0.4}), base / name, device="cpu")
    return base / name


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "run.json"
    }


def _choices(run: Path) -> list[bytes]:
    """What validation said of each epoch of the models that it chooses an epoch of."""
    found = [file.read_bytes() for file in sorted((run / "models").rglob("metrics.jsonl"))]
    return [content for content in found if content]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("leakage")
    return {
        "plain": _run(base, "plain", valid_seed=1, test_seed=1),
        "other-valid": _run(base, "other-valid", valid_seed=2, test_seed=1),
        "other-test": _run(base, "other-test", valid_seed=1, test_seed=2),
    }


@pytest.mark.slow
@pytest.mark.parametrize("other", ["other-valid", "other-test"])
@pytest.mark.parametrize("stage", UPSTREAM)
def test_upstream_artefacts_do_not_depend_on_held_out_pairs(
    runs: dict[str, Path], other: str, stage: str
) -> None:
    plain, changed = _content(runs["plain"] / stage), _content(runs[other] / stage)
    assert len(plain) >= 2
    assert plain == changed


@pytest.mark.slow
def test_final_models_do_not_depend_on_test_pairs(runs: dict[str, Path]) -> None:
    plain, changed = _content(runs["plain"] / "models"), _content(runs["other-test"] / "models")
    assert sum(name.endswith("manifest.json") for name in plain) == 8
    assert plain == changed


@pytest.fixture(scope="module")
def best(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("implicit", reason="the recipe pretrains with implicit")
    base = tmp_path_factory.mktemp("best")
    return {name: _best(runs, base, name) for name in runs}


@pytest.mark.slow
@pytest.mark.parametrize("other", ["other-valid", "other-test"])
@pytest.mark.parametrize("stage", ["pretrained", "trees", "candidates", "hidden", "hidden-2", "found"])
def test_false_negatives_of_the_best_recipe_do_not_depend_on_held_out_pairs(
    best: dict[str, Path], other: str, stage: str
) -> None:
    plain, changed = _content(best["plain"] / stage), _content(best[other] / stage)
    assert len(plain) >= 2
    assert plain == changed


@pytest.mark.slow
def test_models_of_the_best_recipe_depend_on_validation_and_not_on_test(best: dict[str, Path]) -> None:
    plain = _content(best["plain"] / "models")
    assert plain == _content(best["other-test"] / "models")
    assert _choices(best["plain"]) != _choices(best["other-valid"])
    chosen = [(best[name] / "chosen").read_text() for name in ("plain", "other-test")]
    assert chosen[0] == chosen[1]


@pytest.mark.slow
def test_the_comparison_would_notice(runs: dict[str, Path]) -> None:
    """The permutations change what they should change: validation the final models, test the results."""
    assert _choices(runs["plain"]) != _choices(runs["other-valid"])
    results = [(path / "results.json").read_text() for path in (runs["plain"], runs["other-test"])]
    assert results[0] != results[1]


@pytest.mark.slow
def test_a_model_selected_on_other_validation_pairs_is_not_taken_for_this_one(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    data = {name: load_dataset(run.with_name(f"{name}-data")) for name, run in runs.items()}
    assert data["plain"].train.digest == data["other-valid"].train.digest
    settings = DEFAULT_TRAIN.model_copy(
        update={"epochs": 2, "validate_every": 1, "false_negatives": "ignore", "sampler": SamplerConfig()}
    )
    made = write_model(tmp_path / "model", data["plain"], settings, device="cpu")
    again = write_model(tmp_path / "model", data["other-valid"], settings, device="cpu", if_exists="reuse")
    assert again.digest != made.digest
    with_other_test = write_model(
        tmp_path / "model2", data["other-test"], settings, device="cpu", if_exists="reuse"
    )
    assert with_other_test.digest == made.digest


@pytest.mark.slow
def test_a_tuned_model_depends_on_validation_but_not_on_test(runs: dict[str, Path], tmp_path: Path) -> None:
    settings = TrainConfig(model=ModelConfig(name="ease"), tune=True)
    made = {
        name: _content(
            write_model(tmp_path / name, load_dataset(run.with_name(f"{name}-data")), settings).path
        )
        for name, run in runs.items()
    }
    assert made["plain"] == made["other-test"]
    assert made["plain"]["metrics.jsonl"] != made["other-valid"]["metrics.jsonl"]


@pytest.mark.slow
def test_a_run_is_not_continued_with_other_validation_pairs(runs: dict[str, Path], tmp_path: Path) -> None:
    settings = DEFAULT_TRAIN.model_copy(
        update={"epochs": 2, "validate_every": 1, "false_negatives": "ignore", "sampler": SamplerConfig()}
    )
    plain, other = (load_dataset(runs[name].with_name(f"{name}-data")) for name in ("plain", "other-valid"))
    assert plain.valid is not None
    assert other.valid is not None
    told = {"device": "cpu", "checkpoint_dir": tmp_path, "resume": True}
    fit(plain.train, settings, selector=Selector(plain.train, plain.valid), **told)
    with pytest.raises(ArtifactError, match="selector"):
        fit(other.train, settings, selector=Selector(other.train, other.valid), **told)
