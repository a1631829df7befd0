"""Epochs of training on the CPU beside the sparse products that they need: medians of rounds, in turn.

OMP_NUM_THREADS=2 python benches/python/training_epoch.py DATASET [ROUNDS]

64 dimensions, batches of 2,048, N = 10 candidates. The products are those of three layers, forward and
backward, for each batch of an epoch: 6 times A @ E. The ratios are those of LightGCN's epochs, with uniform
negatives as published and with MixGCF's, to the faster of PyTorch's CSR product and SciPy's; so is that of
LightGCN written out by hand (`bare_lightgcn.py`), which is what PyTorch's operations allow. The trees are of
the item graph and of a singular value decomposition: what is in them does not change the time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np
import scipy.sparse as sp
import torch
from bare_lightgcn import bare_epochs
from scipy.sparse.linalg import svds

from dtlns import PathCodes, TrainView, build_tree, jaccard_graph, laplacian_vectors
from dtlns.data.dataset import load_dataset
from dtlns.losses.registry import build_loss
from dtlns.models.base import EmbeddingModel
from dtlns.models.propagation import BipartiteGraph
from dtlns.models.registry import build_model
from dtlns.samplers.registry import build_sampler
from dtlns.sparse import csr_tensor
from dtlns.training.loop import Loop
from dtlns.training.memory import memory_kept
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig

HOPS, SIZE, BATCH = 3, 64, 2048
UNIFORM, MIXGCF = SamplerConfig(name="uniform"), SamplerConfig(name="mixgcf")
VIEWS = SamplerConfig(name="mixgcf", multi_view=True)
SHARED = SamplerConfig(name="shared-uniform", negatives=512)
MF, SOFTMAX = ModelConfig(name="mf"), LossConfig(name="softmax")
EPOCHS = {
    "MF, MixGCF, two trees": TrainConfig(model=MF, sampler=VIEWS),
    "MF, cosine softmax, 512 shared": TrainConfig(model=MF, sampler=SHARED, loss=SOFTMAX),
    "LightGCN, uniform": TrainConfig(sampler=UNIFORM),
    "LightGCN, MixGCF": TrainConfig(sampler=MIXGCF),
}
BARE = "LightGCN by hand, uniform"
RATED = ("LightGCN, uniform", "LightGCN, MixGCF", BARE)


def epochs_of(settings: TrainConfig, train: TrainView, codes: Mapping[str, PathCodes]) -> Callable[[], None]:
    """Return what trains one more epoch."""
    model = build_model(settings.model, train, seed=0)
    assert isinstance(model, EmbeddingModel)
    loop = Loop(
        model=model,
        sampler=build_sampler(settings, train, codes),
        loss=build_loss(settings.loss, "bpr"),
        train=train,
        settings=settings,
        device=torch.device("cpu"),
    )
    numbers = iter(range(1, 1000))
    return lambda: loop._epoch(next(numbers)) and None


def products_of(train: TrainView, batches: int) -> dict[str, Callable[[], None]]:
    """Return what multiplies as often as an epoch does, by each library."""
    ours = BipartiteGraph(train)
    parts = ours.to_users.values(), ours.to_users.col_indices().int(), ours.to_users.crow_indices().int()
    block = sp.csr_array(tuple(part.numpy() for part in parts), ours.to_users.shape)
    scipy = sp.csr_array(sp.block_array([[None, block], [block.T, None]]))
    scipy.sort_indices()
    starts, columns = torch.from_numpy(scipy.indptr).int(), torch.from_numpy(scipy.indices).int()
    theirs = csr_tensor(starts, columns, torch.from_numpy(scipy.data), scipy.shape)  # int32, which MKL takes
    nodes = torch.randn(scipy.shape[0], SIZE)
    out, array = torch.empty_like(nodes), nodes.numpy()
    users, items = nodes[: train.n_users].clone(), nodes[train.n_users :].clone()
    one: dict[str, Callable[[], object]] = {
        "PyTorch CSR": lambda: torch.addmm(out, theirs, nodes, beta=0, out=out),
        "SciPy CSR": lambda: scipy @ array,
        "dtlns": lambda: ours.product(users, items),
    }
    expected = torch.from_numpy(scipy @ array)
    torch.testing.assert_close(torch.addmm(out, theirs, nodes, beta=0, out=out), expected)
    torch.testing.assert_close(torch.cat(ours.product(users, items)), expected)

    def repeated(product: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(2 * HOPS * batches):
                product()

        return run

    return {name: repeated(product) for name, product in one.items()}


def two_trees(train: TrainView) -> dict[str, PathCodes]:
    """Build a tree of the item graph and one of the interactions' singular vectors."""
    graph = laplacian_vectors(jaccard_graph(train)).vectors
    factors = svds(train.csr().astype(np.float64), k=32, rng=0)[2].T
    return {"structural": build_tree(graph).codes, "semantic": build_tree(factors).codes}


def main(dataset: str, rounds: int = 5) -> None:
    """Time everything in turn, so that what else the machine does meets all alike."""
    train = load_dataset(Path(dataset)).train
    codes = two_trees(train)
    products = products_of(train, -(-train.n_interactions // BATCH))
    epochs = {name: epochs_of(settings, train, codes) for name, settings in EPOCHS.items()}
    epochs[BARE] = bare_epochs(train, SIZE, BATCH)
    with memory_kept():
        measure(products, epochs, rounds)


def measure(
    products: Mapping[str, Callable[[], None]], epochs: Mapping[str, Callable[[], None]], rounds: int
) -> None:
    """Run all, round by round, and print a table."""
    for run in epochs.values():
        run()  # the first one is not counted
    seconds: dict[str, list[float]] = {name: [] for name in (*products, *epochs)}
    for _ in range(rounds):
        for name, run in {**products, **epochs}.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    print(f"{torch.get_num_threads()} threads, medians and best of {rounds} rounds, seconds")
    for name, times in seconds.items():
        what = f"products, {name}" if name in products else f"epoch, {name}"
        print(f"{what:40s} {median(times):7.3f} {min(times):7.3f}")
    faster = [min(pair) for pair in zip(seconds["PyTorch CSR"], seconds["SciPy CSR"], strict=True)]
    for name in RATED:
        ratios = [epoch / products for epoch, products in zip(seconds[name], faster, strict=True)]
        print(
            f"epoch, {name} / its products by the faster of the two libraries: median {median(ratios):.2f}, "
            f"best {min(ratios):.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
