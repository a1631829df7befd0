"""What each use of the false negatives, each group of features and the prior are worth in the recipe `best`.

    python experiments/best_uses.py DATASET RUN -o OUT [--epochs 12] [--rows nothing sampled]

RUN is a folder of `dtlns run --recipe best`, or of one seed of experiments/best_recipe.py; several give means
over them. Every row starts from the run's plain host and trains for the same number of epochs at the same
temperature; validation chooses the epoch and the weight of the prior. Test pairs are read for the table
alone. Run it again after an interruption: what is there is kept.

There is no row for positives that stay among the negatives: training always takes a user's positives, added
ones too, out of what is drawn for that user.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.arms import with_arm
from dtlns.artifacts import Artifact, open_artifact
from dtlns.config import Arm, BestConfig, SelectionConfig
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.evaluation.significance import bootstrap_difference
from dtlns.false_negative_model.features import Group
from dtlns.stages.evaluation import measure_model
from dtlns.stages.false_negative_model import write_found
from dtlns.stages.prior import write_with_prior
from dtlns.stages.training import write_model
from dtlns.training.settings import SamplerConfig, TrainConfig, Use

REFERENCE = "sampled"
HARD = SamplerConfig(name="dns", candidates=16, negatives=8)
METRICS = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Row:
    """One way to train on from the plain host.

    Attributes:
        use: What is done with the false negatives.
        selection: Which of them count, and how much.
        observed: The chance of a training interaction to be in an epoch; epochs are so many more that there
            are as many pairs in all.
        sampler: In place of the host's own.
        without: A group of features that they are found without.
    """

    use: Use
    selection: SelectionConfig
    observed: float = 1.0
    sampler: SamplerConfig | None = None
    without: Group | None = None


def rows_of(top: int, scale: float, flat: float, groups: Sequence[Group]) -> dict[str, Row]:
    """Return the rows by name.

    Args:
        top: How many of each user count.
        scale: c in the weight min(1, c · p_hidden).
        flat: The weight that has the same sum where all of them have it.
        groups: Features that there are.
    """
    arm = BestConfig(data="-").arms[0]
    best, alike = SelectionConfig(top=top, scale=scale), SelectionConfig(top=top, weight=flat)
    return {
        "nothing": Row("ignore", best),
        "exclude": Row("exclude", best),
        "avoid": Row("avoid", best),
        REFERENCE: Row("sampled", best),
        "weighted": Row("weighted", best),
        "sampled, recipe": Row("sampled", arm.selection, arm.observed),
        f"sampled, all {top} alike": Row("sampled", alike),
        "sampled, best 5 with 0.5": Row("sampled", SelectionConfig(top=5, weight=0.5)),
        **{f"dns, {use}": Row(use, best, sampler=HARD) for use in ("ignore", "exclude", "avoid")},
        **{f"sampled, without {group}": Row("sampled", best, without=group) for group in groups},
    }


class Run:
    """One run of the recipe, and the folder of what is made from it.

    Args:
        run: The run's folder.
        out: Where models go.
        data: The data set.
        given: What the command line says.
    """

    def __init__(self, run: Path, out: Path, data: Dataset, given: argparse.Namespace) -> None:
        self.run, self.out, self.data, self.metric = run, out, data, given.metric
        self.plain, self.found = (
            open_artifact(run / "models/plain", "model"),
            open_artifact(run / "found", "judged"),
        )
        host = TrainConfig.model_validate(
            {name: value for name, value in self.plain.config.items() if name in TrainConfig.model_fields}
        )
        told = host.loss.options | {"temperature": given.temperature}
        loss = host.loss.model_copy(update={"options": told})
        self.host = host.model_copy(update={"loss": loss, "epochs": given.epochs})
        flat = float(self._weights(given.top, given.scale).mean())
        self.rows = rows_of(given.top, given.scale, flat, self.found.config["groups"])
        self.cpu = out / "cpu.json"

    def models(self, name: str) -> tuple[Artifact, Artifact]:
        """Train a row, and give it the prior of the false negatives that it used."""
        row, folder = self.rows[name], name.replace(", ", "-").replace(" ", "-")
        settings = self.host.model_copy(update={"false_negatives": row.use})
        if row.observed != 1:
            # with_arm takes the size of an epoch, by that of one without false negatives
            pairs = self._weights(row.selection.top, row.selection.scale)
            arm = Arm(scale=row.selection.scale, observed=row.observed)
            settings = with_arm(self.host, arm, row.observed + pairs.sum() / self.data.train.n_interactions)
        if row.sampler is not None:
            settings = settings.model_copy(update={"sampler": row.sampler})
        found = self.found if row.without is None else self._without(row.without)
        told = {"judged": found, "selection": row.selection, "start": self.plain, "metric": self.metric}
        model = self._timed(folder, write_model, self.data, settings, device="cpu", resume=True, **told)
        prior = self._timed(f"{folder}-prior", write_with_prior, model, found, self.data, metric=self.metric)
        return model, prior

    def _weights(self, top: int, scale: float) -> NDArray[np.float64]:
        """Return min(1, scale · p_hidden) of each user's best."""
        p = pl.read_parquet(self.found.path / "judged.parquet", columns=["user", "p_hidden"])
        p = p.filter(pl.col("p_hidden").rank("ordinal", descending=True).over("user") <= top)
        return np.minimum(1.0, scale * p["p_hidden"].to_numpy().astype(np.float64))

    def _without(self, group: Group) -> Artifact:
        """Find the false negatives again without a group of features."""
        groups = [each for each in self.found.config["groups"] if each != group]
        return self._timed(
            f"found-without-{group}",
            write_found,
            open_artifact(self.run / "candidates", "candidates"),
            open_artifact(self.run / "pretrained", "pretrained"),
            [open_artifact(path, "hidden") for path in sorted(self.run.glob("hidden*"))],
            trees=open_artifact(self.run / "trees", "trees") if "trees" in groups else None,
            groups=groups,
            classifier=self.found.config["classifier"],
            seed=self.found.config["seed"],
        )

    def seconds(self) -> dict[str, float]:
        """Return the CPU seconds of all threads that each folder took."""
        return json.loads(self.cpu.read_text()) if self.cpu.exists() else {}

    def _timed(self, name: str, write: Callable[..., Artifact], *told: Any, **named: Any) -> Artifact:
        out, start = self.cpu.with_name(name), time.process_time()
        new = not out.exists()
        made = write(out, *told, if_exists="reuse", **named)
        if new:
            known = self.seconds() | {name: round(time.process_time() - start, 1)}
            self.cpu.write_text(json.dumps(known, indent=1))
        return made


def main() -> None:
    """Train the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--scale", type=float, default=20.0)
    parser.add_argument("--temperature", type=float, default=0.08)
    parser.add_argument("--metric", default="ndcg@20")
    parser.add_argument("--rows", nargs="+", help="these alone; all without it")
    given = parser.parse_args()
    data = load_dataset(given.data)
    runs = [Run(run, given.output / run.resolve().name, data, given) for run in given.runs]
    models: dict[str, list[Artifact]] = {"plain": [run.plain for run in runs]}
    seconds: dict[str, float] = {}
    for name in given.rows or runs[0].rows:
        made = [run.models(name) for run in runs]
        models[name], models[f"{name} + prior"] = (list(each) for each in zip(*made, strict=True))
        seconds |= {
            row: sum(
                run.seconds().get(model.path.name, 0.0) for run, model in zip(runs, models[row], strict=True)
            )
            for row in (name, f"{name} + prior")
        }
        print(f"made: {name}", flush=True)
    print_table(models, seconds, data)


def print_table(
    models: Mapping[str, Sequence[Artifact]], seconds: Mapping[str, float], data: Dataset
) -> None:
    """Print means over the runs, and differences from the recipe's own row with 95 % intervals, on test."""
    measured = {name: [measure_model(model, data, ks=[20]) for model in row] for name, row in models.items()}
    values = {
        (name, split, metric): np.stack([result[split].per_user[metric] for result in row])
        for name, row in measured.items()
        for split in ("valid", "test")
        for metric in METRICS
    }
    print(
        "\n| row | valid R@20 | N@20 | test R@20 | N@20 | N@20 against sampled | CPU s |\n" + "|---" * 7 + "|"
    )
    for name in models:
        cells = [
            f"{values[name, split, metric].mean():.4f}" for split in ("valid", "test") for metric in METRICS
        ]
        against = f"{REFERENCE} + prior" if name.endswith("+ prior") else REFERENCE
        cells.append("")
        if against in models and name != against:
            key = "test", "ndcg@20"
            found = bootstrap_difference(values[against, *key], {name: values[name, *key]}, draws=2000)[name]
            cells[-1] = f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
        cost = f"{seconds[name] / len(models[name]):.0f}" if name in seconds else ""
        print(f"| {name} | " + " | ".join(cells) + f" | {cost} |")


if __name__ == "__main__":
    main()
