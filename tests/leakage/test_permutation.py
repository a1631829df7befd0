"""Held-out pairs leave no trace: permute them, and everything up to the final model keeps its bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dtlns.config import DEFAULT_PRETRAIN, DEFAULT_TRAIN, RunConfig
from dtlns.data.importing import import_dataset
from dtlns.pipeline import run
from dtlns.training.settings import ModelConfig

UPSTREAM = ("pretrained", "trees", "candidates", "calibration", "judged")
N_USERS, N_ITEMS = 120, 90


def _write_log(folder: Path, *, valid_seed: int, test_seed: int) -> Path:
    """A DTL-NS folder with clustered training rows, and held-out items that depend on the seeds alone."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    free = []
    for user in range(N_USERS):
        home = rng.permutation(30) + 30 * (user % 3)
        taken = np.unique(np.concatenate([home[:14], rng.integers(0, N_ITEMS, 2)]))
        lines["train"] += [f"{user} {N_USERS + item}" for item in taken]
        free.append(np.setdiff1d(np.arange(N_ITEMS), taken))
    assert len(np.unique([line.split()[1] for line in lines["train"]])) == N_ITEMS
    for user in range(N_USERS):
        # validation from the even unobserved items, test from the odd ones: no pair is in both
        for part, seed, half in (("valid", valid_seed, 0), ("test", test_seed, 1)):
            pool = free[user][free[user] % 2 == half]
            held = np.random.default_rng([seed, user]).choice(pool, 3, replace=False)
            lines[part] += [f"{user} {N_USERS + item}" for item in held]
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
    return base / name


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "run.json"
    }


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


@pytest.mark.slow
def test_the_comparison_would_notice(runs: dict[str, Path]) -> None:
    """The permutations change what they should change: validation the final models, test the results."""
    plain = _content(runs["plain"] / "models")
    assert plain != _content(runs["other-valid"] / "models")
    results = [(path / "results.json").read_text() for path in (runs["plain"], runs["other-test"])]
    assert results[0] != results[1]
