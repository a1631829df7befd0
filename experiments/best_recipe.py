"""The recommended recipe with several seeds, beside tuned baselines and the host's other samplers.

A seed decides pretraining, trees, what is hidden, the classifier and the host. Validation makes every choice,
by the recipe's metric; test pairs are read when a seed's models are trained, and choose nothing. Differences
and intervals are those of `dtlns compare` (docs/concepts/significance.md).

    python experiments/best_recipe.py DATASET -o OUT [--config FILE.toml] [--seeds 0 1 2] [--against ease ...]

What to compare with: names of models that validation tunes, or folders of models that are there; `in-batch`,
the plain host with these negatives; `mixgcf`, the host with BPR and these, at most 60 epochs of batches of
4,096; `trained-on` and `in-batch-on`, the plain and the in-batch host trained on without false negatives, as
the host with them: for as many pairs as a trial and what goes on after it, the latter in smaller steps.

Run it again after an interruption: what is there and still right is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from dtlns.arms import going_on, on_trial
from dtlns.artifacts import Artifact, open_artifact
from dtlns.best_recipe import run_best
from dtlns.config import BestConfig
from dtlns.data.dataset import Dataset, load_dataset
from dtlns.evaluation.significance import adjust, bootstrap_difference
from dtlns.run_file import load_run_config
from dtlns.stages.evaluation import measure_model
from dtlns.stages.training import write_model
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig

METRICS = ("recall@20", "ndcg@20")
CONTROLS = {"in-batch", "mixgcf", "trained-on", "in-batch-on"}
MIXGCF = {
    "sampler": SamplerConfig(name="mixgcf"),
    "loss": LossConfig(name="bpr"),
    "batch_size": 4096,
    "epochs": 60,
    "patience": 10,
}
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


def tuned(name: str, out: Path, data: Dataset, metric: str) -> Artifact:
    """Fit a model without epochs, with the options that validation chooses."""
    settings = TrainConfig(model=ModelConfig(name=name), sampler=SamplerConfig(name="uniform"), tune=True)
    return write_model(out, data, settings, metric=metric, if_exists="reuse")


def control(name: str, out: Path, data: Dataset, config: BestConfig) -> Artifact:
    """Train the host in another ordinary way; see above."""
    settings, start = config.train, None
    if name == "trained-on":
        settings, start = going_on(config), open_artifact(out / "models" / "longer", "model")
    elif name == "in-batch-longer":
        settings, start = on_trial(config), control("in-batch", out, data, config)
    elif name == "in-batch-on":
        settings, start = going_on(config), control("in-batch-longer", out, data, config)
    if name == "mixgcf":
        settings = settings.model_copy(update=MIXGCF)
    elif name != "trained-on":
        settings = settings.model_copy(update={"sampler": SamplerConfig(name="in-batch")})
    return write_model(
        out / name,
        data,
        settings,
        start=start,
        metric=config.metric,
        device="cpu",
        if_exists="reuse",
        resume=True,
    )


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--against", nargs="*", default=["itemknn", "ease", "ials"])
    given = parser.parse_args()
    data = load_dataset(given.data)
    config = load_run_config(given.config, None if given.config else str(given.data.resolve()), "best")
    assert isinstance(config, BestConfig)
    config = config.model_copy(update={"data": str(given.data.resolve())})

    rows: dict[str, Row] = {}
    for seed in given.seeds:
        out = given.output / f"seed-{seed}"
        seeded = with_seed(config, seed)
        results = run_best(seeded, out, device="cpu")
        print(f"seed {seed}: " + "; ".join(results["why"]), flush=True)
        there = {Path(entry["folder"]).name for entry in results["rows"]}
        # where no use of false negatives won, the host without any is what there is
        base = "longer" if "longer-prior" in there else "plain"
        # or the arm as it was tried, where going on did not help
        host = next((name for name in ("host", *(arm.name for arm in config.arms)) if name in there), base)
        titles = {
            "plain": "plain",
            "host alone": host,
            "plain + prior": f"{base}-prior",
            "host + prior": "host-prior" if "host-prior" in there else f"{base}-prior",
            "prior alone": "prior",
        }
        for title, name in titles.items():
            rows.setdefault(title, []).append(open_artifact(out / "models" / name, "model"))
        rows.setdefault("chosen", []).append(open_artifact(out / results["chosen"], "model"))
        for name in given.against:
            if name in CONTROLS:
                rows.setdefault(f"plain, {name}", []).append(control(name, out, data, seeded))
    for name in given.against:
        if Path(name).is_dir():
            rows[f"{Path(name).name}, given"] = [open_artifact(Path(name), "model")]
        elif name not in CONTROLS:
            rows[f"{name}, tuned"] = [tuned(name, given.output / name, data, config.metric)]

    tested = {title: [measure_model(model, data)["test"] for model in row] for title, row in rows.items()}
    values = {
        (title, metric): np.stack([result.per_user[metric] for result in row])
        for title, row in tested.items()
        for metric in METRICS
    }
    references = [title for title in tested if "," in title]
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
    print("\nDifferences with 95 % bootstrap intervals; p after Holm: of the bootstrap, of Wilcoxon's test")
    for (title, reference, metric), cell in adjust(found).items():
        print(
            f"{title:14} against {reference:16} {metric:10} {cell.difference:+.4f} ({cell.relative:+.1%}) "
            f"[{cell.low:+.4f}, {cell.high:+.4f}] p {cell.p_bootstrap_holm:.4f} {cell.p_wilcoxon_holm:.2g}"
        )
    shares = []
    for seed in given.seeds:
        out = given.output / f"seed-{seed}"
        facts = {path.parent: json.loads(path.read_text()) for path in out.rglob("run.json")}
        known = {"pretrained", "trees", "candidates", "found", "hidden", "hidden-2", "hidden-3", "prior"}
        known |= {"plain", "longer", "host", "plain-prior", "host-prior", *(arm.name for arm in config.arms)}
        ours = {folder: fact["wall_seconds"] for folder, fact in facts.items() if folder.name in known}
        shares.append(sum(ours.values()) / ours[out / "models" / "plain"])
    told = ", ".join(f"{x:.2f}" for x in shares)
    print(f"\nall stages, the plain host among them, by the plain host's own time: {told}")


if __name__ == "__main__":
    main()
