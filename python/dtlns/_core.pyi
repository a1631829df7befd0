"""The Rust core: whole arrays in, whole arrays out. Use the modules of the package instead."""

from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_F32: TypeAlias = NDArray[np.float32]
_I32: TypeAlias = NDArray[np.int32]
_I64: TypeAlias = NDArray[np.int64]
_U8: TypeAlias = NDArray[np.uint8]
_U32: TypeAlias = NDArray[np.uint32]
_U64: TypeAlias = NDArray[np.uint64]

__version__: Final[str]
STREAM_VERSION: Final[int]

def jaccard(indptr: _I64, indices: _U32, n_items: int) -> tuple[_I64, _I32, _F32]: ...
def build_tree(
    vectors: _F32, branching: int, max_leaf_size: int, balance: tuple[float, float], seed: int
) -> dict[str, NDArray[Any]]: ...
def encode(
    first_child: _I32, n_children: _I32, centroids: _F32, branching: int, vectors: _F32
) -> tuple[_U64, _U8]: ...
def pack_paths(children: _I64, lengths: _I64, branching: int) -> tuple[_U64, _U8]: ...
def unpack_paths(packed: _U64, depth: _U8, branching: int) -> _U32: ...
def prefix_length(packed: _U64, depth: _U8, branching: int, a: _I64, b: _I64) -> _U8: ...
def similarity(packed: _U64, depth: _U8, branching: int, a: _I64, b: _I64) -> _F32: ...
def deepest_prefix(
    packed: _U64,
    depth: _U8,
    branching: int,
    indptr: _I64,
    indices: _U32,
    n_items: int,
    users: _I64,
    items: _I64 | None = None,
) -> _I32: ...
def permutation(n: int, seed: int) -> _U32: ...

@final
class ForbiddenSets:
    def __new__(
        cls,
        indptr: _I64,
        indices: _U32,
        n_items: int,
        exclude_indptr: _I64 | None = None,
        exclude_indices: _U32 | None = None,
    ) -> ForbiddenSets: ...
    @property
    def n_users(self) -> int: ...
    @property
    def n_items(self) -> int: ...
    def draw(self, users: _I64, rows: _I64, n: int, seed: int, epoch: int) -> _I64: ...
    def available(self) -> _I64: ...
    def forbidden(self, user: int) -> _U32: ...

def keyed_uniform(rows: _I64, n: int, seed: int, epoch: int, purpose: int) -> _F32: ...
def top_k(
    scores: _F32,
    k: int,
    indptr: _I64 | None = None,
    indices: _U32 | None = None,
    n_items: int | None = None,
    users: _I64 | None = None,
) -> tuple[_I64, _F32]: ...
