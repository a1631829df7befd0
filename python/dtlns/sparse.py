"""Sparse tensors without PyTorch's word of warning, and outside of its compiler."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def csr_tensor(
    starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int], *, check: bool = True
) -> Tensor:
    """Make a sparse CSR tensor; PyTorch's note that the layout is in beta is not passed on.

    The operations that are used here, a product and products at given places, are covered by our tests.

    Args:
        starts: int [R + 1], where each row begins in `columns`.
        columns: int [nnz].
        values: float32 [nnz].
        shape: (R, C).
        check: False where columns are not increasing within a row, or appear twice.

    Returns:
        Sparse CSR float32 [R, C].

    Example:
        >>> csr_tensor(torch.tensor([0, 1, 1]), torch.tensor([2]), torch.ones(1), (2, 3)).to_dense().tolist()
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    _swallow_warning()
    return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=check)


def uncompiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Keep a function out of `torch.compile`, which knows no sparse tensors: a decorator."""
    kept: Callable[_Arguments, _Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return kept


@functools.cache
def _swallow_warning() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta.*")
        nothing = torch.empty(0, dtype=torch.int64)
        torch.sparse_csr_tensor(torch.tensor([0, 0]), nothing, nothing, size=(1, 1), check_invariants=True)
