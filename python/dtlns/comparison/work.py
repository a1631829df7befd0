"""What the jobs of a comparison do: make what a row needs, train it and, when all are trained, measure it."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtlns.artifacts import Artifact, Spec, load_arrays, make_artifact, open_artifact, save_arrays, write_json
from dtlns.comparison.config import CompareConfig
from dtlns.comparison.grid import Row, Variant
from dtlns.config import JudgeConfig, TreesConfig
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.noise import inject_noise
from dtlns.data.splits import split_dataset
from dtlns.evaluation.metrics import METRICS
from dtlns.evaluation.protocol import DEFAULT_KS, report
from dtlns.evaluation.selector import Selector
from dtlns.pipeline import is_split_by, whole
from dtlns.stages.controls import CONTROLS
from dtlns.stages.evaluation import measure_model
from dtlns.stages.training import KIND as MODEL
from dtlns.stages.training import write_model
from dtlns.stages.upstream import Upstream

KIND = "evaluation"


@dataclass(frozen=True)
class Place:
    """Where the parts of a comparison lie.

    Attributes:
        out: The folder of the comparison.
        source: The data set as it is given.
    """

    out: Path
    source: Path

    def data(self, variant: Variant, seed: int) -> Path:
        """The data set of a variant; noise is drawn anew for each seed."""
        if variant == Variant():
            return self.source
        name = variant.split if not variant.noise else f"{variant.split}-noise-{variant.noise:g}-seed-{seed}"
        return self.out / "data" / name

    def upstream(self, variant: Variant, seed: int) -> Path:
        """The folder of everything before the final models."""
        name = variant.split + (f"-noise-{variant.noise:g}" if variant.noise else "")
        return self.out / "upstream" / name / f"seed-{seed}"

    def model(self, row: Row, seed: int) -> Path:
        """The folder of a trained row."""
        return self.out / "models" / row.folder / f"seed-{seed}"

    def evaluation(self, row: Row, seed: int) -> Path:
        """The folder of a row's metrics."""
        return self.out / "evaluations" / row.folder / f"seed-{seed}"


@dataclass(frozen=True)
class Need:
    """What rows need of the stages before them.

    Attributes:
        trees: The trees, or None.
        judge: The judge or a control, or None.
    """

    trees: TreesConfig | None
    judge: str | None


NOTHING = Need(None, None)


def need_of(row: Row) -> Need:
    """Return what a row needs."""
    return Need(row.trees, row.judge)


def prepare(place: Place, config: CompareConfig, variant: Variant, seed: int) -> Dataset:
    """Make the data set of a variant, unless it is there, made from the same data in the same way.

    Args:
        place: Where.
        config: The comparison.
        variant: How it differs from the given data.
        seed: Of the noise.
    """
    folder = place.data(variant, seed)
    if variant == Variant():
        return load_dataset(folder)
    source = prepare(place, config, Variant(variant.split) if variant.noise else Variant(), seed)
    split = config.split.model_copy(update={"by": variant.split})
    done = whole(folder)
    if done is not None and done.artifact.manifest["inputs"].get("dataset") == source.digest:
        how = done.split or {}
        if variant.noise and (how.get("noise"), how.get("noise_seed")) == (variant.noise, seed):
            return done
        if not variant.noise and is_split_by(done, split):
            return done
    force = folder.exists()
    if variant.noise:
        return inject_noise(source, folder, variant.noise, seed, force=force)
    return split_dataset(source, folder, **split.model_dump(), resplit=True, force=force)


def make_upstream(
    place: Place, config: CompareConfig, variant: Variant, seed: int, needs: list[Need], device: str
) -> dict[Need, str]:
    """Make what the rows of one data set and one seed need.

    Returns:
        Why it failed, for each need that could not be met.
    """
    failures = {}
    with closing(_upstream(place, config, variant, seed, device)) as upstream:
        for need in needs:
            try:
                _meet(config, upstream, need, seed)
            except (MemoryError, OSError):
                raise
            except Exception as error:
                failures[need] = f"{type(error).__name__}: {error}"
    return failures


def train_row(place: Place, config: CompareConfig, row: Row, seed: int, device: str) -> dict[str, Any]:
    """Train a row with one seed, or find that it is trained.

    Returns:
        Seconds, peak memory, the metric that validation chose by, and the options that it chose.
    """
    with closing(_upstream(place, config, row.variant, seed, device)) as upstream:
        trees, judged = _meet(config, upstream, need_of(row), seed)
    folder = place.model(row, seed)
    artifact = write_model(
        folder,
        upstream.data,
        row.settings.model_copy(update={"seed": seed}),
        trees=trees,
        judged=judged,
        selection=row.selection,
        facts={"dataset": os.path.relpath(upstream.data.path.resolve(), folder.resolve())},
        device=device,
        if_exists="reuse",
        resume=True,
    )
    summary = json.loads((artifact.path / "training.json").read_bytes())
    return {
        "seconds": artifact.facts["wall_seconds"],
        "peak_memory_mb": artifact.facts["peak_memory_mb"],
        "valid_metric": summary["metric"],
        "options": summary["options"],
    }


def evaluate_row(place: Place, config: CompareConfig, row: Row, seed: int) -> None:
    """Measure a trained row on validation and test, and keep the values of each user."""
    model = open_artifact(place.model(row, seed), MODEL)
    data = load_dataset(place.data(row.variant, seed))
    ks = sorted({*DEFAULT_KS, *(Selector.parse(metric)[1] for metric in config.metrics)})

    def body(folder: Path) -> None:
        results = measure_model(model, data, ks=ks)
        write_json(folder / "result.json", report(**results))
        for split, result in results.items():
            save_arrays(folder / f"{split}.safetensors", {"users": result.users, **result.per_user})

    measured = {"ks": ks, "metrics": list(METRICS)}
    spec = Spec(KIND, measured, {"model": model.digest, "dataset": data.digest}, data.train.digest)
    make_artifact(place.evaluation(row, seed), spec, body, if_exists="reuse")


def load_evaluation(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, NDArray[Any]]]]:
    """Return a row's result as JSON values, and by split the arrays over users."""
    artifact = open_artifact(folder, KIND)
    arrays = {file.stem: load_arrays(file) for file in sorted(folder.glob("*.safetensors"))}
    return json.loads((artifact.path / "result.json").read_bytes()), arrays


def _upstream(place: Place, config: CompareConfig, variant: Variant, seed: int, device: str) -> Upstream:
    settings = config.model_copy(
        update={
            name: getattr(config, name).model_copy(update={"seed": seed})
            for name in ("pretrain", "calibration")
        }
    )
    data: Dataset = load_dataset(place.data(variant, seed))
    return Upstream(place.upstream(variant, seed), data, settings, device=device)


def _meet(
    config: CompareConfig, upstream: Upstream, need: Need, seed: int
) -> tuple[Artifact | None, Artifact | None]:
    settings = None if need.trees is None else need.trees.model_copy(update={"seed": seed})
    control = next((control for control in CONTROLS if control == need.judge), None)
    judge = control or (None if need.judge is None else config.judge(need.judge))
    if settings is not None and isinstance(judge, JudgeConfig):
        upstream.prepare(settings, judge)  # what it needs and is not there is told before the pretraining
    trees = None if settings is None else upstream.trees(settings)
    return trees, None if judge is None else upstream.judged(settings, judge)
