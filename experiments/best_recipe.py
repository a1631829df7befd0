"""The recommended recipe with several seeds, beside tuned baselines and the host's other samplers.

A seed decides pretraining, trees, what is hidden, the classifier and the host. Validation makes every choice,
by the recipe's metric; test pairs are read when a seed's models are trained, and choose nothing. Differences
and intervals are those of `dtlns compare` (docs/concepts/significance.md).

    python experiments/best_recipe.py DATASET -o OUT [--config FILE.toml] [--seeds 5] [--against itemknn ease]

Run it again after an interruption: what is there and still right is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from dtlns.artifacts import Artifact, open_artifact
from dtlns.best_recipe import run_best
from dtlns.config import BestConfig, load_run_config
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.evaluation.significance import adjust, bootstrap_difference
from dtlns.stages.evaluation import measure_model
from dtlns.stages.training import write_model
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig

METRICS = ("recall@20", "ndcg@20")
Row = list[Artifact]  # one for each seed


def with_seed(config: BestConfig, seed: int) -> BestConfig:
    """Return the recipe with another seed everywhere."""
    return config.model_copy(
        update={
            "train": config.train.model_copy(update={"seed": seed}),
            "pretrain": config.pretrain.model_copy(update={"seed": seed}),
            "trees": config.trees.model_copy(update={"seed": seed}),
            # hidings take the seeds that follow each other
            "calibration": config.calibration.model_copy(update={"seed": 100 * seed}),
        }
    )


def baseline(name: str, out: Path, data: Dataset, host: TrainConfig, metric: str) -> Artifact:
    """Fit a tuned model without epochs, or train the host with another sampler: `in-batch`."""
    if name == "in-batch":
        sampler = SamplerConfig(name="in-batch")
        return write_model(
            out,
            data,
            host.model_copy(update={"sampler": sampler}),
            metric=metric,
            device="cpu",
            if_exists="reuse",
            resume=True,
        )
    sampler = SamplerConfig(name="uniform")
    settings = TrainConfig(model=ModelConfig(name=name), sampler=sampler, tune=True)
    return write_model(out, data, settings, metric=metric, if_exists="reuse")


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--against", nargs="*", default=["itemknn", "ease", "ials"])
    given = parser.parse_args()
    data = load_dataset(given.data)
    config = load_run_config(given.config, None if given.config else str(given.data.resolve()), "best")
    assert isinstance(config, BestConfig)
    config = config.model_copy(update={"data": str(given.data.resolve())})

    rows: dict[str, Row] = {}
    for seed in range(given.seeds):
        out = given.output / f"seed-{seed}"
        results = run_best(with_seed(config, seed), out, device="cpu")
        print(f"seed {seed}: " + "; ".join(results["why"]), flush=True)
        named = {
            "plain": "plain",
            "longer": "plain, trained on",
            "host": "host alone",
            "plain-prior": "plain + prior",
            "host-prior": "host + prior",
            "prior": "prior alone",
        }
        there = {entry["folder"] for entry in results["rows"]}
        for name, title in named.items():
            # where no use of false negatives won, the plain host is what there is
            tries = [f"models/{each}" for each in (name, name.replace("host", "plain"))]
            tries.append(tries[-1].replace("plain", "longer"))
            folder = next(folder for folder in tries if folder in there)
            rows.setdefault(title, []).append(open_artifact(out / folder, "model"))
        rows.setdefault("chosen", []).append(open_artifact(out / results["chosen"], "model"))
        if "in-batch" in given.against:
            host = config.train.model_copy(update={"seed": seed})
            rows.setdefault("plain, in-batch", []).append(
                baseline("in-batch", out / "in-batch", data, host, config.metric)
            )
    for name in given.against:
        if name != "in-batch":
            rows[f"{name}, tuned"] = [baseline(name, given.output / name, data, config.train, config.metric)]

    tested = {title: [measure_model(model, data)["test"] for model in row] for title, row in rows.items()}
    values = {
        (title, metric): np.stack([result.per_user[metric] for result in row])
        for title, row in tested.items()
        for metric in METRICS
    }
    references = [title for title in tested if title.startswith("plain,") or title.endswith("tuned")]
    print(f"\n{'':18}" + "".join(f"{metric:>20}" for metric in METRICS) + "   wall seconds")
    for title, row in rows.items():
        cells = [values[title, metric].mean(axis=1) for metric in METRICS]
        spread = [f"{cell.mean():12.4f} ± {cell.std(ddof=1) if len(cell) > 1 else 0:.4f}" for cell in cells]
        seconds = np.mean([model.facts["wall_seconds"] for model in row])
        print(f"{title:18}" + "".join(f"{cell:>20}" for cell in spread) + f"{seconds:15.0f}")
    found = {}
    for metric in METRICS:
        for reference in ["plain", *references]:
            others = {
                (title, reference, metric): values[title, metric]
                for title in ("host alone", "chosen", "plain + prior", "host + prior", "prior alone")
            }
            found |= bootstrap_difference(values[reference, metric], others)
    print("\nDifferences with 95 % bootstrap intervals; p after Holm over this table")
    for (title, reference, metric), cell in adjust(found).items():
        print(
            f"{title:14} against {reference:16} {metric:10} {cell.difference:+.4f} ({cell.relative:+.1%}) "
            f"[{cell.low:+.4f}, {cell.high:+.4f}] p {cell.p_bootstrap_holm:.4f}"
        )
    shares = []
    for seed in range(given.seeds):
        out = given.output / f"seed-{seed}"
        facts = {path.parent: json.loads(path.read_text()) for path in out.rglob("run.json")}
        known = {"pretrained", "trees", "candidates", "found", "hidden", "hidden-2", "hidden-3", "prior"}
        known |= {"plain", "longer", "host", "plain-prior", "host-prior", *(arm.name for arm in config.arms)}
        ours = {
            folder: fact["wall_seconds"]
            for folder, fact in facts.items()
            if folder.name not in ("popularity", "itemknn", "in-batch") and folder.name in known
        }
        shares.append(sum(ours.values()) / ours[out / "models" / "plain"])
    told = ", ".join(f"{x:.2f}" for x in shares)
    print(f"\nall stages, the plain host among them, by the plain host's own time: {told}")


if __name__ == "__main__":
    main()
