"""Our LightGCN beside PyTorch Geometric's: the same curve, and the same numbers for the same draws.

    pip install torch_geometric
    python experiments/gowalla_lightgcn.py curve DATASET dtlns --seed 0 -o FILE   # the other side: pyg
    python experiments/gowalla_lightgcn.py table FILE FILE ...                    # of both sides, any seeds
    python experiments/gowalla_lightgcn.py steps DATASET

`curve` measures on the test pairs after each epoch; nothing is chosen by it. Both sides share settings, the
formula of the initial embeddings and this file's metrics; graph, propagation, gradients, loss, L2, Adam and
sampling of `pyg` are PyTorch Geometric's, PyTorch's and NumPy's. `steps` gives PyTorch Geometric the initial
embeddings, batches and negatives of a short run of ours, so that no chance is left between the two.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtlns import Dataset, TrainView, load_dataset
from dtlns.evaluation.protocol import evaluate
from dtlns.models.base import Scorer
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.registry import build_model
from dtlns.samplers.base import Negatives, SamplingContext
from dtlns.samplers.uniform import Uniform
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.trainer import train as train_ours

LAYERS, DIMENSIONS, K = 3, 64, 20
Draws = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def settings_of(**loop: Any) -> TrainConfig:
    """Our settings, which the other side follows too."""
    model = ModelConfig(name="lightgcn", dimensions=DIMENSIONS, layers=LAYERS)
    return TrainConfig(model=model, sampler=SamplerConfig(name="uniform"), validate_every=1, **loop)


def metrics(users: NDArray[Any], items: NDArray[Any], data: Dataset) -> tuple[float, float]:
    """Recall@20 and NDCG@20 over the test users, in NumPy alone: full ranking, training items masked."""
    train, test = data.train, data.test
    if test is None:
        raise SystemExit("the data set needs a test split")
    recalls, ndcgs = [], []
    gains = 1 / np.log2(np.arange(2, K + 2))
    wanted = np.flatnonzero(np.diff(test.indptr))
    for some in np.array_split(wanted, len(wanted) // 512 + 1):
        scores = users[some] @ items.T
        for row, user in enumerate(some):
            scores[row, train.indices[train.indptr[user] : train.indptr[user + 1]]] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        top = np.take_along_axis(best, order, axis=1)
        for row, user in enumerate(some):
            held = test.indices[test.indptr[user] : test.indptr[user + 1]]
            hits = np.isin(top[row], held)
            recalls.append(hits.sum() / len(held))
            ndcgs.append(gains[hits].sum() / gains[: len(held)].sum())
    return float(np.mean(recalls)), float(np.mean(ndcgs))


class Recorder:
    """Writes test metrics down; to `train` it is a selector that likes every later epoch better."""

    name, digest = "epochs", "recorder"

    def __init__(self, data: Dataset, file: Path, header: dict[str, Any]) -> None:
        self.data, self.file, self.header = data, file, header
        self.rows: list[dict[str, float]] = []
        self.clock = time.process_time()

    def __call__(self, scorer: Scorer) -> float:
        """Measure after one more epoch; the clock stands meanwhile."""
        seconds = time.process_time() - self.clock
        assert isinstance(scorer, EmbeddingScorer)
        recall, ndcg = metrics(scorer.user_vectors, scorer.item_vectors, self.data)
        if self.data.test is not None:
            found = evaluate(scorer, self.data.train, self.data.test, ks=(K,)).metrics
            apart = max(abs(found["recall@20"] - recall), abs(found["ndcg@20"] - ndcg))
            assert apart < 1e-4, "the evaluation of dtlns finds something else"
        row = {"epoch": len(self.rows) + 1, "recall": recall, "ndcg": ndcg, "cpu_seconds": seconds}
        print(row, flush=True)
        self.rows.append(row)
        self.file.write_text(json.dumps({**self.header, "curve": self.rows}, indent=1) + "\n")
        self.clock = time.process_time()
        return float(len(self.rows))


class Geometric:
    """PyTorch Geometric's LightGCN, its BPR loss and PyTorch's Adam.

    Args:
        train: The training interactions.
        settings: Learning rate and L2.
        tables: Initial embeddings, float32 [U, D] and [I, D].
    """

    def __init__(self, train: TrainView, settings: TrainConfig, tables: tuple[Tensor, Tensor]) -> None:
        from torch_geometric.nn import LightGCN  # only this side needs it
        from torch_geometric.nn.conv.gcn_conv import gcn_norm

        self.n_users = train.n_users
        # it takes the squared norm over the batch size, we take half of that
        self.lambda_reg = settings.l2 / 2
        nodes = train.n_users + train.n_items
        users, items = train.user_of_interaction.astype(np.int64), train.indices.astype(np.int64)
        there = torch.from_numpy(np.stack([users, items + train.n_users]))
        both_ways = torch.cat([there, there.flip(0)], dim=1)
        # its own weights, once, as a sparse matrix: six times as fast as edge by edge in each layer
        edges, weights = gcn_norm(both_ways, None, nodes, add_self_loops=False)
        self.graph = torch.sparse_coo_tensor(edges, weights, (nodes, nodes)).coalesce().to_sparse_csr()
        self.model = LightGCN(nodes, DIMENSIONS, LAYERS, normalize=False)
        with torch.no_grad():
            self.model.embedding.weight.copy_(torch.cat(tables))
        self.adam = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate)

    def step(self, draws: Draws) -> None:
        """Take one step of Adam on a batch of users, positives and negatives."""
        user, positive, negative = map(torch.from_numpy, draws)
        positive, negative = positive + self.n_users, negative + self.n_users
        pairs = torch.stack([user.repeat(2), torch.cat([positive, negative])])
        loss = self.model.recommendation_loss(
            *self.model(self.graph, pairs).chunk(2),
            node_id=torch.cat([user, positive, negative]),
            lambda_reg=self.lambda_reg,
        )
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    @torch.no_grad()
    def scorer(self) -> EmbeddingScorer:
        """Return its final embeddings."""
        nodes = self.model.get_embedding(self.graph).numpy()
        return EmbeddingScorer(nodes[: self.n_users], nodes[self.n_users :])


def batches(train: TrainView, size: int, rng: np.random.Generator) -> Iterator[Draws]:
    """Yield an epoch of shuffled pairs with uniform negatives; what is a positive is drawn again."""
    users, items = train.user_of_interaction.astype(np.int64), train.indices.astype(np.int64)
    known = users * train.n_items + items
    order = rng.permutation(len(users))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        negatives = rng.integers(0, train.n_items, len(rows))
        while len(again := np.flatnonzero(contains(known, users[rows] * train.n_items + negatives))):
            negatives[again] = rng.integers(0, train.n_items, len(again))
        yield users[rows], items[rows], negatives


def contains(known: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which keys are among sorted ones."""
    return known[np.searchsorted(known, keys).clip(max=len(known) - 1)] == keys


def xavier(train: TrainView, seed: int) -> tuple[Tensor, Tensor]:
    """Make two Xavier-uniform tables as we do; PyTorch Geometric has one for users and items together."""
    generator = torch.Generator().manual_seed(seed)
    users, items = torch.empty(train.n_users, DIMENSIONS), torch.empty(train.n_items, DIMENSIONS)
    for one in (users, items):
        torch.nn.init.xavier_uniform_(one, generator=generator)
    return users, items


def curve(arguments: argparse.Namespace) -> None:
    """Train one side and measure it after each epoch."""
    data, seed = load_dataset(arguments.dataset), arguments.seed
    settings = settings_of(
        epochs=arguments.epochs, learning_rate=arguments.lr, batch_size=2048, l2=1e-4, seed=seed
    )
    header = {"side": arguments.side, "settings": settings.model_dump(mode="json")}
    recorder = Recorder(data, arguments.output, header)
    if arguments.side == "dtlns":
        train_ours(data.train, settings, selector=recorder, device="cpu")
    else:
        other, rng = Geometric(data.train, settings, xavier(data.train, seed)), np.random.default_rng(seed)
        for _ in range(settings.epochs):
            for draws in batches(data.train, settings.batch_size, rng):
                other.step(draws)
            recorder(other.scorer())


def table(arguments: argparse.Namespace) -> None:
    """Print both curves, as many epochs as all files have: each seed, and the difference of the means."""
    records = [json.loads(file.read_text()) for file in arguments.files]
    epochs = min(len(record["curve"]) for record in records)
    for metric in ("recall", "ndcg"):
        ours, theirs = (
            np.array([[row[metric] for row in r["curve"][:epochs]] for r in records if r["side"] == side])
            for side in ("dtlns", "pyg")
        )
        print(f"| epoch | {metric}@20: dtlns, each seed | pyg, each seed | difference of the means |")
        for epoch, (one, two) in enumerate(zip(ours.T, theirs.T, strict=True), start=1):
            each = (", ".join(f"{value:.4f}" for value in values) for values in (one, two))
            print("|", epoch, "|", " | ".join(each), "|", f"{one.mean() - two.mean():+.4f}", "|")


def steps(arguments: argparse.Namespace) -> None:
    """Compare the sides after the same draws; and with another L2 in one, to see that this would show."""
    # large batches make an epoch short; a large L2 makes the term count
    data = load_dataset(arguments.dataset)
    settings = settings_of(epochs=1, learning_rate=1e-3, batch_size=40_960, l2=1.0, seed=0)
    seen: list[Draws] = []
    original = Uniform.sample

    def spy(self: Uniform, context: SamplingContext) -> Negatives:
        drawn = original(self, context)
        seen.append((context.users.numpy(), context.positives.numpy(), drawn.ids[:, 0].numpy()))
        return drawn

    with mock.patch.object(Uniform, "sample", spy):
        ours = train_ours(data.train, settings, device="cpu").scorer
    assert isinstance(ours, EmbeddingScorer)
    begin = build_model(settings.model, data.train, seed=settings.seed)
    tables = begin.user_embeddings.detach(), begin.item_embeddings.detach()
    for name, l2 in (("same L2", 1.0), ("L2 doubled in one", 2.0)):
        other = Geometric(data.train, settings.model_copy(update={"l2": l2}), tables)
        before = stacked(other.scorer())
        for draws in seen:
            other.step(draws)
        theirs = stacked(other.scorer())
        moved, apart = np.abs(theirs - before).max(), np.abs(theirs - stacked(ours)).max()
        print(
            f"{name}: {len(seen)} steps move a number by up to {moved:.1e}; the sides are {apart:.1e} apart"
        )


def stacked(scorer: EmbeddingScorer) -> NDArray[np.float32]:
    """Return all final embeddings, float32 [U + I, D]."""
    return np.concatenate([scorer.user_vectors, scorer.item_vectors])


def main() -> None:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("curve")
    one.set_defaults(run=curve)
    one.add_argument("dataset", type=Path)
    one.add_argument("side", choices=["dtlns", "pyg"])
    one.add_argument("-o", "--output", type=Path, required=True)
    one.add_argument("--epochs", type=int, default=6)
    one.add_argument("--lr", type=float, default=5e-3)
    one.add_argument("--seed", type=int, default=0)
    two = commands.add_parser("table")
    two.set_defaults(run=table)
    two.add_argument("files", type=Path, nargs="+")
    three = commands.add_parser("steps")
    three.set_defaults(run=steps)
    three.add_argument("dataset", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
