"""The stage graph of `dtlns run`: data, pretraining, trees, candidates, judging, the host with and without
its parts.

Each stage is skipped when its artefact is there, whole, and made from the same settings and inputs. So a run
that was stopped goes on, and a changed setting makes again what depends on it and nothing else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtlns.artifacts import Artifact, write_json
from dtlns.config import BestConfig, FalseNegativesConfig, RunConfig, SelectionConfig, SplitConfig
from dtlns.data.bundled import PREFIX, bundled_source, import_bundled
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.splits import split_dataset
from dtlns.errors import ArtifactError, ConfigError
from dtlns.evaluation.selector import Selector
from dtlns.idle import has_epochs, refuse_weights
from dtlns.lock import alone
from dtlns.rehearsal import rehearse
from dtlns.run_report import withdraw_report, write_report
from dtlns.samplers.registry import needs_codes
from dtlns.stages.calibration import load_calibration
from dtlns.stages.evaluation import evaluate_model
from dtlns.stages.training import write_model
from dtlns.stages.upstream import Upstream
from dtlns.training.progress import Progress
from dtlns.training.settings import WEIGHED, ModelConfig, SamplerConfig, TrainConfig

SELECTION_METRIC = "recall@20"
NO_SELECTION = SelectionConfig()
_USES = {
    "exclude": "excluded",
    "avoid": "avoided by chance",
    "positive": "as positives",
    "weighted": "weighted",
    "sampled": "by chance",
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Attributes:
        name: For people.
        folder: Below `models/`.
        settings: What is trained.
        selection: Which false negatives it uses, where it uses any.
    """

    name: str
    folder: str
    settings: TrainConfig
    selection: SelectionConfig = NO_SELECTION


def comparison(host: TrainConfig, false_negatives: FalseNegativesConfig) -> list[Row]:
    """Return the rows of a run: baselines, the host with plain samplers, and the host part by part.

    Args:
        host: The full recipe.
        false_negatives: Which ones, and the scales of their weights.

    Example:
        >>> [row.folder for row in comparison(TrainConfig(), FalseNegativesConfig())]
        ['popularity', 'itemknn', 'lightgcn-uniform', 'lightgcn-mixgcf']
    """
    model, sampler, use = host.model.name, host.sampler, host.false_negatives
    rows = []
    for name, title in (("popularity", "popularity"), ("itemknn", "ItemKNN (cosine)")):
        plain = TrainConfig(model=ModelConfig(name=name), sampler=SamplerConfig(name="uniform"))
        rows.append(Row(title, name, plain))
    plain_sampler = SamplerConfig(name="uniform", negatives=sampler.negatives)
    bare = host.model_copy(
        update={"false_negatives": "ignore", "observed": 1.0, "refresh_every": 0, "sampler": plain_sampler}
    )
    rows.append(Row(f"{model}, uniform negatives", f"{model}-uniform", bare))
    if sampler.name != "uniform":
        plain_sampler = sampler.model_copy(update={"multi_view": False})
        settings = bare.model_copy(update={"sampler": plain_sampler})
        rows.append(Row(f"{model}, {sampler.name}", f"{model}-{sampler.name}", settings))
    if sampler.multi_view:
        last, settings = rows[-1], bare.model_copy(update={"sampler": sampler})
        rows.append(Row(f"{last.name} + tree views", f"{last.folder}-views", settings))
    last = rows[-1]
    # Excluding false negatives is the smaller step on the way to using them, so it is always shown beside.
    for step in dict.fromkeys(("exclude", use) if use != "ignore" else ()):
        observed = host.observed if step == "sampled" else 1.0
        settings = host.model_copy(update={"false_negatives": step, "observed": observed})
        for scale in false_negatives.scales if step in WEIGHED else (1.0,):
            name = f"{last.name} + false negatives {_USES[step]}"
            folder = f"{last.folder}-{step}"
            if step in WEIGHED:
                name, folder = f"{name}, c = {scale:g}", f"{folder}-{scale:g}"
            selection = SelectionConfig(top=false_negatives.top, scale=scale)
            rows.append(Row(name, folder, settings, selection))
    return rows


def run(
    config: RunConfig,
    out: Path,
    *,
    base: Path | None = None,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Run all stages, compare, and leave a folder that explains itself.

    Args:
        config: The run.
        out: The run's folder; what is there already and still right is kept.
        base: Folder that a relative `config.data` starts from; the working directory by default.
        device: Where to train.
        progress: Called after each epoch of each model.

    Returns:
        What `results.json` holds: one entry per row, and which row validation chose.

    Raises:
        ConfigError: A name is unknown, settings do not fit together, or another process works in the
            folder; told before any work.
    """
    check_place(out)
    host = config.train.model.name
    if not has_epochs(host):
        raise ConfigError(
            f"train.model.name = {host!r} is a model without epochs, and learns from no negatives",
            allowed="a model that is trained by epochs, such as mf or lightgcn",
            hint="`dtlns train` fits it, and `dtlns compare` puts it beside others",
        )
    rows = comparison(config.train, config.false_negatives)
    rehearse(config.pretrain, [config.judge], [(row.settings, config.trees) for row in rows])
    with alone(out):
        return _run(config, out, base or Path(), rows, device=device, progress=progress)


def _run(
    config: RunConfig,
    out: Path,
    base: Path,
    rows: list[Row],
    *,
    device: str,
    progress: Callable[[Progress], None] | None,
) -> dict[str, Any]:
    data = prepare_data(config.data, config.split, out, base)
    refuse_weights(data.train, config.pretrain, config.train)
    withdraw_report(out)
    facts = {"dataset": relative(data.path, out / "models" / "any")}
    judging = any(row.settings.false_negatives != "ignore" for row in rows)
    trees = calibration = judged = None
    with closing(Upstream(out, data, config, device=device, progress=progress)) as upstream:
        if judging:
            upstream.prepare(config.trees, config.judge)
        if judging or any(needs_codes(row.settings.sampler) for row in rows):
            trees = upstream.trees(config.trees)
        if judging:
            calibration = upstream.calibration(config.trees, config.judge)
            judged = upstream.judged(config.trees, config.judge)
    models: dict[str, Artifact] = {}
    for row in rows:
        log.info("training: %s", row.name)
        models[row.folder] = write_model(
            out / "models" / row.folder,
            data,
            row.settings,
            trees=trees,
            judged=judged,
            calibration=calibration,
            selection=row.selection,
            facts=facts,
            device=device,
            if_exists="reuse",
            resume=True,
            progress=progress,
        )
    named = [(row.name, models[row.folder]) for row in rows]
    return finish(
        config,
        data,
        named,
        out,
        base,
        metric=SELECTION_METRIC,
        choose=_choose,
        calibration=None if calibration is None else load_calibration(calibration)[1],
    )


def check_place(out: Path) -> None:
    """Refuse a run's folder that holds something else.

    Raises:
        ConfigError: There is a data set or an artefact.
    """
    if (out / "manifest.json").exists():
        raise ConfigError(f"{out} holds a data set or an artefact", hint="choose a folder for the run alone")


def finish(
    config: RunConfig | BestConfig,
    data: Dataset,
    models: Sequence[tuple[str, Artifact]],
    out: Path,
    base: Path,
    *,
    metric: str,
    choose: Callable[[list[dict[str, Any]]], str],
    **more: Any,
) -> dict[str, Any]:
    """Measure a run's models, and write its results and its report.

    Args:
        config: The run.
        data: Its data set.
        models: The rows, with a title each.
        out: The run's folder.
        base: Folder that a relative `config.data` starts from.
        metric: What validation chose by.
        choose: Returns the chosen row's folder.
        **more: What else `results.json` shall hold.

    Returns:
        What `results.json` holds.
    """
    ks = sorted({*config.top, 20, Selector.parse(metric)[1]})
    # Only now, when everything is trained, is the test split looked at: once for each row.
    entries = [
        {
            "name": title,
            "folder": str(model.path.relative_to(out)),
            "seconds": model.facts["wall_seconds"],
            "result": evaluate_model(model, data, ks=ks),
        }
        for title, model in models
    ]
    results: dict[str, Any] = {
        "data": {
            "name": data.name,
            "split": data.split,
            "users": data.n_users,
            "items": data.n_items,
            "interactions": data.train.n_interactions,
        },
        "seed": config.train.seed,
        "metric": metric,
        "chosen": choose(entries),
        "rows": entries,
        **more,
    }
    write_json(out / "results.json", results)
    # The written settings start from where they lie, and leave open where the next run goes.
    source = config.data if config.data.startswith(PREFIX) else relative(base / config.data, out)
    write_report(out, config.model_copy(update={"data": source, "output": None}), results)
    return results


def prepare_data(name: str, split: SplitConfig, out: Path, base: Path, *, resplit: bool = False) -> Dataset:
    """Open the data set that a run names, import it if it is a bundled one, and split it if it has no split.

    Args:
        name: A folder, or a bundled data set.
        split: How to split it, where it has no split.
        out: The run's folder.
        base: Folder that a relative path starts from.
        resplit: Whether the settings are for splitting anew as well; otherwise a data set with a split has no
            use for them.

    Raises:
        ConfigError: The settings would change nothing, or there is nothing to choose on.
        DataError: The data set cannot be split so.
    """
    if name.startswith(PREFIX):
        imported = out / "dataset"
        data = whole(imported)
        if data is None or data.name != bundled_source(name).name:
            log.info("importing %s", name)
            data = import_bundled(name, imported, force=imported.exists())
    else:
        data = load_dataset(base / name)
    if data.split is not None:
        if data.valid is None:
            raise ConfigError(
                f"{data.path} has a test split but no validation split to choose on",
                hint="cut one out of training: `dtlns data split DATASET -o SPLIT --by random --keep-test`",
            )
        if not (resplit or split == SplitConfig() or is_split_by(data, split)):
            raise ConfigError(
                f"{data.path} has a split already ({data.split['by']}), so [split] would change nothing",
                hint="leave [split] out, or name a data set that `dtlns data split --resplit` has split so",
            )
        return data
    done = whole(out / "split")
    made_from = None if done is None else done.artifact.manifest["inputs"].get("dataset")
    if done is not None and made_from == data.digest and is_split_by(done, split):
        return _choosable(done)
    log.info("splitting: %s", split.by)
    made = split_dataset(
        data,
        out / "split",
        by=split.by,
        valid=split.valid,
        test=split.test,
        seed=split.seed,
        force=done is not None or (out / "split").exists(),
    )
    return _choosable(made)


def _choosable(split: Dataset) -> Dataset:
    """Return a run's own split, unless no row of it is for validation."""
    if split.valid is None:
        raise ConfigError(
            "no history is long enough to give the split a validation row to choose on",
            hint="take a log with longer histories, or give a larger `valid` in [split]",
        )
    return split


def _choose(entries: list[dict[str, Any]]) -> str:
    """Return the folder of the row with the best validation value; the first one of equals."""
    best = max(entries, key=lambda entry: entry["result"]["valid"][SELECTION_METRIC])
    return str(best["folder"])


def whole(folder: Path) -> Dataset | None:
    """Open a data set that was made before; None where there is none, or, with a warning, a damaged one."""
    if not folder.exists():
        return None
    try:
        return load_dataset(folder)
    except ArtifactError as error:
        log.warning("%s; making it again", error.what)
        return None


def is_split_by(data: Dataset, split: SplitConfig) -> bool:
    """Tell whether a data set was split with these settings."""
    how = data.split or {}
    wanted = split.model_dump() if split.by != "last-out" else {"by": split.by, "seed": split.seed}
    return all(how.get(key) == value for key, value in wanted.items())


def relative(target: Path, start: Path) -> str:
    """Return a path as seen from a folder."""
    return os.path.relpath(target.resolve(), start.resolve())
