"""Readable twins of the Rust kernels: slow, plain, and written from the definitions."""

from __future__ import annotations

from functools import reduce
from math import ceil, floor, log

import numpy as np

MASK32 = 2**32 - 1


# ---- random numbers ------------------------------------------------------------------------------------


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10, as in the paper by Salmon et al. (2011)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


def halves(value: int) -> tuple[int, int]:
    return value & MASK32, value >> 32


class Stream:
    """Random words by address, keyed by seed, purpose and epoch."""

    def __init__(self, seed: int, purpose: int, epoch: int) -> None:
        version = 1
        self.key = philox((*halves(epoch), purpose, version), halves(seed))[:2]

    def block(self, row: int, draw: int, attempt: int) -> tuple[int, int, int, int]:
        return philox((*halves(row), draw, attempt), self.key)

    def below(self, row: int, draw: int, bound: int) -> int:
        attempt = 0
        while True:
            for word in self.block(row, draw, attempt):
                high, low = divmod(word * bound, 2**32)
                if low >= 2**32 % bound:
                    return high
            attempt += 1

    def below_wide(self, row: int, draw: int, bound: int) -> int:
        attempt = 0
        while True:
            a, b, c, d = self.block(row, draw, attempt)
            for word in (b << 32 | a, d << 32 | c):
                high, low = divmod(word * bound, 2**64)
                if low >= 2**64 % bound:
                    return high
            attempt += 1


class Sequence:
    """One row of a stream, read in order."""

    def __init__(self, stream: Stream, row: int) -> None:
        self.stream, self.row, self.draw = stream, row, -1

    def below(self, bound: int) -> int:
        self.draw += 1
        return self.stream.below(self.row, self.draw, bound)

    def unit(self) -> float:
        self.draw += 1
        low, high, *_ = self.stream.block(self.row, self.draw, 0)
        return ((high << 32 | low) >> 11) / 2**53


# ---- graph, codes, ranking, draws ----------------------------------------------------------------------


def jaccard(dense: np.ndarray) -> np.ndarray:
    """Item-item Jaccard weights of a bool matrix of users by items."""
    n = dense.shape[1]
    out = np.zeros((n, n), dtype=np.float32)
    for i in range(n):
        for j in range(n):
            both, either = (dense[:, i] & dense[:, j]).sum(), (dense[:, i] | dense[:, j]).sum()
            if i != j and both:
                out[i, j] = both / either
    return out


def prefix_length(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    length = 0
    while length < min(len(a), len(b)) and a[length] == b[length]:
        length += 1
    return length


def similarity(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    shorter = min(len(a), len(b))
    return 1.0 if shorter == 0 else prefix_length(a, b) / shorter


def pack(path: tuple[int, ...], branching: int) -> int:
    bits = ceil(log(branching) / log(2) - 1e-12)
    return sum(child << (64 - bits * (level + 1)) for level, child in enumerate(path))


def deepest_prefix(paths: list[tuple[int, ...]], history: np.ndarray, items: np.ndarray) -> list[int]:
    return [max((prefix_length(paths[i], paths[h]) for h in history), default=0) for i in items]


def top_k(scores: np.ndarray, k: int, masked: set[int]) -> tuple[list[int], list[float]]:
    left = [i for i in range(len(scores)) if i not in masked]
    left.sort(key=lambda i: (-scores[i], i))
    ids, best = left[:k], [float(scores[i]) for i in left[:k]]
    return ids + [-1] * (k - len(ids)), best + [-np.inf] * (k - len(best))


def links(graph: np.ndarray, history: np.ndarray, item: int) -> list[float]:
    """Sum, number and largest of an item's links with a history."""
    weights = [graph[h, item] for h in history if graph[h, item] > 0]
    return [sum(weights), len(weights), max(weights, default=0)]


def dots(vectors: np.ndarray, history: np.ndarray, item: int) -> list[float]:
    """Mean and largest dot product of an item's vector with those of a history."""
    products = [float(vectors[item] @ vectors[h]) for h in history]
    return [sum(products) / len(products), max(products)] if products else [0.0, 0.0]


def sharing(paths: list[tuple[int, ...]], history: np.ndarray, item: int) -> list[int]:
    """An item's deepest prefix into a history, and how many items of the history share it."""
    lengths = [prefix_length(paths[item], paths[h]) for h in history]
    deepest = max(lengths, default=0)
    return [deepest, lengths.count(deepest)]


def draws(
    allowed: list[int], rows: list[int], n: int, seed: int, epoch: int, purpose: int = 1
) -> list[list[int]]:
    """Negatives of one user: the item at a uniform rank among those allowed, in their order."""
    stream = Stream(seed, purpose, epoch)
    return [[allowed[stream.below(row, draw, len(allowed))] for draw in range(n)] for row in rows]


def weighted_draws(
    allowed: list[int], weights: list[int], rows: list[int], n: int, seed: int, epoch: int, purpose: int
) -> list[list[int]]:
    """Negatives of one user: each allowed item owns as many points as its weight, in their order."""
    stream = Stream(seed, purpose, epoch)

    def owner(point: int) -> int:
        for item in allowed:
            point -= weights[item]
            if point < 0:
                return item
        raise AssertionError("a point beyond the mass")

    mass = sum(weights[item] for item in allowed)
    return [[owner(stream.below_wide(row, draw, mass)) for draw in range(n)] for row in rows]


# ---- balanced k-means and the tree ---------------------------------------------------------------------


def size_bounds(n: int, k: int, balance: tuple[float, float]) -> tuple[int, int]:
    least = max(1, floor(balance[0] * (n / k) + 1e-9))
    most = min(n, max(1, ceil(balance[1] * (n / k) - 1e-9)))
    return least, most


def distances(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((points[:, None, :] - centroids[None, :, :]) ** 2).sum(axis=2)


def draw_by_weight(weights: np.ndarray, random: Sequence) -> int:
    total = weights.sum()
    if total <= 0:
        return random.below(len(weights))
    return int(np.searchsorted(np.cumsum(weights), random.unit() * total, side="right"))


def seed_centroids(points: np.ndarray, k: int, random: Sequence) -> np.ndarray:
    """Greedy k-means++."""
    trials = 2 + int(log(k))
    chosen = [random.below(len(points))]
    while len(chosen) < k:
        closest = distances(points, points[chosen]).min(axis=1)
        options = [draw_by_weight(closest, random) for _ in range(trials)]
        inertia = [np.minimum(closest, distances(points, points[[o]])[:, 0]).sum() for o in options]
        chosen.append(options[int(np.argmin(inertia))])
    return points[chosen]


def means(points: np.ndarray, assignment: np.ndarray, old: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Means of clusters; an empty one takes the farthest point that none has taken, if any is off."""
    farthest = iter(np.lexsort((np.arange(len(gaps)), -gaps)))
    out = old.copy()
    for cluster in range(len(old)):
        inside = assignment == cluster
        if inside.any():
            out[cluster] = points[inside].mean(axis=0)
        else:
            point = next(farthest)
            out[cluster] = points[point] if gaps[point] > 0 else old[cluster]
    return out


def relocate(cost: np.ndarray, assignment: np.ndarray, gives, takes) -> np.ndarray:
    """Make the cheapest moves from clusters that give to clusters that take."""
    k = cost.shape[1]
    sizes = np.bincount(assignment, minlength=k)
    givers, takers = [c for c in range(k) if gives(sizes[c])], [c for c in range(k) if takes(sizes[c])]
    moves = [
        (cost[p, to] - cost[p, assignment[p]], p, to)
        for p in range(len(cost))
        if assignment[p] in givers
        for to in takers
        if to != assignment[p]
    ]
    moved: set[int] = set()
    assignment = assignment.copy()
    for _, p, to in sorted(moves):
        source = assignment[p]
        if p not in moved and gives(sizes[source]) and takes(sizes[to]):
            assignment[p] = to
            sizes[source] -= 1
            sizes[to] += 1
            moved.add(p)
    return assignment


def balance_sizes(cost: np.ndarray, assignment: np.ndarray, least: int, most: int) -> np.ndarray:
    k = cost.shape[1]
    if np.bincount(assignment, minlength=k).max() > most:
        assignment = relocate(cost, assignment, lambda s: s > most, lambda s: s < most)
    if np.bincount(assignment, minlength=k).min() < least:
        assignment = relocate(cost, assignment, lambda s: s > least, lambda s: s < least)
    return assignment


def one_start(points: np.ndarray, k: int, bounds: tuple[int, int], random: Sequence):
    centroids = seed_centroids(points, k, random)
    before = np.inf
    for _ in range(50):
        cost = distances(points, centroids)
        assignment, gaps = cost.argmin(axis=1), cost.min(axis=1)
        centroids = means(points, assignment, centroids, gaps)
        if before - gaps.sum() <= 1e-5 * gaps.sum():
            break
        before = gaps.sum()
    best = None
    for _ in range(5):
        cost = distances(points, centroids)
        nearest = cost.argmin(axis=1)
        assignment = balance_sizes(cost, nearest, *bounds)
        centroids = means(points, assignment, centroids, np.zeros(len(points)))
        inertia = distances(points, centroids)[np.arange(len(points)), assignment].sum()
        if best is not None and inertia >= best[0] * (1 - 1e-5):
            break
        best = (inertia, assignment)
        if np.array_equal(assignment, nearest):
            break
    return best


def balanced_kmeans(points: np.ndarray, k: int, balance: tuple[float, float], stream: Stream) -> np.ndarray:
    if (points == points[0]).all():
        return np.arange(len(points)) * k // len(points)
    bounds = size_bounds(len(points), k, balance)
    starts = [one_start(points, k, bounds, Sequence(stream, restart)) for restart in range(3)]
    assignment = reduce(lambda a, b: b if b[0] < a[0] else a, starts)[1]
    _, first, cluster = np.unique(assignment, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[cluster]


def tree_paths(vectors: np.ndarray, k: int, leaf: int, balance: tuple[float, float], seed: int):
    """Paths of all items, by recursion."""
    paths = [()] * len(vectors)

    def descend(members: np.ndarray, path: tuple[int, ...]) -> None:
        for member in members:
            paths[member] = path
        if len(members) <= leaf:
            return
        mixed = philox((*halves(pack(path, k)), len(path), 0), halves(seed))
        stream = Stream(mixed[0] << 32 | mixed[1], purpose=2, epoch=0)
        points = vectors[members].astype(np.float64)
        clusters = balanced_kmeans(points, min(k, len(members)), balance, stream)
        for child in range(clusters.max() + 1):
            descend(members[clusters == child], (*path, child))

    descend(np.arange(len(vectors)), ())
    return paths


def encode(paths: list[tuple[int, ...]], vectors: np.ndarray, query: np.ndarray) -> tuple[int, ...]:
    """Descend to the nearest mean among the children, the means rounded to float32."""
    path: tuple[int, ...] = ()
    while True:
        children = sorted(
            {p[: len(path) + 1] for p in paths if len(p) > len(path) and p[: len(path)] == path}
        )
        if not children:
            return path
        means = [
            np.float32(
                np.mean([vectors[i] for i, p in enumerate(paths) if p[: len(c)] == c], axis=0, dtype=float)
            )
            for c in children
        ]
        gaps = [((query.astype(float) - m.astype(float)) ** 2).sum() for m in means]
        path = children[int(np.argmin(gaps))]
