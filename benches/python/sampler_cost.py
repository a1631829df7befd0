"""What each sampler costs in a batch of 2,048 pairs: CPU time of one thread, medians of eight batches.

python benches/python/sampler_cost.py DATASET TREES

`begin` is once an epoch, `prepare` needs no embeddings and runs ahead in a thread, `sample` waits for them.
`step` is a whole one, forward and backward, without the optimiser: BPR with one negative, and for negatives
that a batch shares, cosine softmax, with 512 of them where they are drawn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from dtlns.artifacts import open_artifact
from dtlns.data.dataset import load_dataset
from dtlns.data.views import TrainView
from dtlns.draws import draws_on
from dtlns.losses.registry import build_loss
from dtlns.plugins import load_plugin, plugin_names
from dtlns.samplers.base import DrawContext, EpochContext, SamplingContext
from dtlns.sampling import NegativePool
from dtlns.stages.trees import load_codes
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig
from dtlns.training.step import TrainStep

BATCH, BATCHES = 2048, 9  # the first one is not counted
TOGETHER = ("shared-uniform", "shared-popularity", "in-batch")


def cost(train: TrainView, codes: Any, model: Any, name: str) -> list[float]:
    """Return seconds of begin, prepare, sample and step."""
    together = name in TOGETHER
    config = SamplerConfig(name=name, negatives=512 if name.startswith("shared") else 1)
    kind = load_plugin("dtlns.samplers", name)
    sampler = kind.build(config, train, codes=codes, dimensions=64, seed=0)
    loss = build_loss(LossConfig(name="softmax" if together else "bpr"), "bpr")
    step = TrainStep(model, sampler, loss, similarity="cosine" if together else "inner", l2=1e-4)
    shared = {"draws": draws_on(NegativePool(train), "cpu"), "seed": 0, "epoch": 1, "epochs": 40}
    with torch.no_grad():
        epoch = EpochContext(layers=model.layers(), pooling=model.pool, similarity="inner", **shared)
        begin, _ = timed(lambda: sampler.begin_epoch(epoch))
    order = torch.randperm(train.n_interactions, generator=torch.Generator().manual_seed(0))
    all_users = torch.from_numpy(train.user_of_interaction.astype(np.int64))
    all_items = torch.from_numpy(train.indices.astype(np.int64))
    seconds = []
    for number in range(BATCHES):
        rows = order[number * BATCH :][:BATCH]
        users, items = all_users[rows], all_items[rows]
        pairs = {"users": users, "positives": items, "whole_users": users, "whole_positives": items}
        drawn = DrawContext(rows=rows, number=number, **pairs, **shared)
        prepare, prepared = timed(lambda drawn=drawn: sampler.prepare(drawn))
        layers = model.layers()
        context = SamplingContext(
            **vars(drawn),
            layers=layers,
            user_layers=layers.user_rows(users),
            positive_layers=layers.item_rows(items),
            pooling=model.pool,
            prepared=prepared,
        )
        sample, _ = timed(lambda context=context: sampler.sample(context))
        step.zero_grad()
        whole, _ = timed(lambda drawn=drawn, prepared=prepared: step(drawn, prepared, None).backward())
        seconds.append((prepare, sample, whole))
    return [begin, *(median(each) for each in zip(*seconds[1:], strict=True))]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return CPU seconds and the answer."""
    start = time.process_time()
    answer = function()
    return time.process_time() - start, answer


def main(dataset: str, trees: str) -> None:
    """Print one table for each of two models."""
    torch.set_num_threads(1)
    train = load_dataset(Path(dataset)).train
    codes = load_codes(open_artifact(Path(trees), "trees"))
    for host in ("mf", "lightgcn"):
        model = load_plugin("dtlns.models", host).build(ModelConfig(name=host), train, seed=0)
        print(f"\n| {host}, milliseconds | begin | prepare | sample | step |\n|---|---|---|---|---|")
        for name in plugin_names("dtlns.samplers"):
            parts = " | ".join(f"{1000 * each:.1f}" for each in cost(train, codes, model, name))
            print(f"| {name} | {parts} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
