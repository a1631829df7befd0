"""The small world that the check suites ask about, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from dtlns.codes import PathCodes
from dtlns.data.views import TrainView
from dtlns.losses.registry import build_loss
from dtlns.models.base import EmbeddingModel
from dtlns.plugins import check_options, load_plugin
from dtlns.samplers.base import Sampler
from dtlns.training.loop import Loop
from dtlns.training.progress import Progress
from dtlns.training.result import TrainedModel
from dtlns.training.settings import TrainConfig

N_USERS, N_ITEMS, DIMENSIONS = 24, 20, 4
CODES: Mapping[str, PathCodes] = {
    "structural": PathCodes.from_paths([(i % 4, i % 3) for i in range(N_ITEMS)]),
    "semantic": PathCodes.from_paths([(i % 2, i % 3, i % 4)[: 1 + i % 3] for i in range(N_ITEMS)]),
}


def world() -> TrainView:
    """Return 24 users and 20 items: user 0 has nothing, user 1 all but item 4, and item 19 no user."""
    even = np.add.outer(np.arange(N_USERS), np.arange(N_ITEMS)) % 2 == 0
    observed = even & (np.random.Generator(np.random.Philox(key=7)).random(even.shape) < 0.6)
    observed[0], observed[1], observed[1, 4], observed[:, 19] = False, True, False, False
    return TrainView.from_csr(sp.csr_array(observed.astype(np.float32)))


def expect(condition: object, message: str) -> None:
    """Fail the check with a message, also where Python drops `assert`."""
    if not condition:
        raise AssertionError(message)


def plugin(group: str, kind: Any, options: Mapping[str, Any]) -> Any:
    """Return the class that an entry point names, or the class itself, which must know its options."""
    name, found = (kind, load_plugin(group, kind)) if isinstance(kind, str) else (kind.__name__, kind)
    check_options(group, name, found, options)
    return found


@contextmanager
def global_state_untouched() -> Iterator[None]:
    """Fail where the body draws from the global generators of PyTorch or NumPy."""
    before = _global_state()
    yield
    after = _global_state()
    hint = "use a generator of dtlns.training.streams or dtlns.sampling.keyed_uniform"
    expect(torch.equal(before[0], after[0]), f"PyTorch's global random state was used; {hint}")
    expect(before[1] == after[1], f"NumPy's global random state was used; {hint}")


def _global_state() -> tuple[torch.Tensor, tuple[int, bytes]]:
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 (looked at only)
    return torch.random.get_rng_state(), (state["state"]["pos"], state["state"]["key"].tobytes())


def same(a: Any, b: Any) -> bool:
    """Tell whether two tensors, or two Nones, are the same to the last bit."""
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))


class _StoppedError(Exception):
    """Stands for Ctrl-C."""


def _stop(state: Progress) -> None:
    if state.epoch == 3:
        raise _StoppedError


def train_loop(model: EmbeddingModel, sampler: Sampler, settings: TrainConfig) -> Loop:
    """Return a loop over the world on the CPU."""
    loss = None if model.default_loss is None else build_loss(settings.loss, model.default_loss)
    return Loop(
        model=model,
        sampler=sampler,
        loss=loss,
        train=world(),
        settings=settings,
        device=torch.device("cpu"),
    )


def check_resume(make: Callable[[], tuple[EmbeddingModel, Sampler]], settings: TrainConfig) -> TrainedModel:
    """Check that a stopped and resumed run ends in the bits of a whole one.

    Args:
        make: Builds model and sampler anew.
        settings: At least four epochs, validated every second one.

    Returns:
        What the whole run ended in.
    """
    whole = train_loop(*make(), settings)
    result = whole.run(None)
    with TemporaryDirectory() as folder:
        stopped = train_loop(*make(), settings)
        stopped.keep_at(Path(folder), {}, resume=False)
        with suppress(_StoppedError):
            stopped.run(_stop)
        resumed = train_loop(*make(), settings)
        resumed.keep_at(Path(folder), {}, resume=True)
        again = resumed.run(None)
    for name in ("user_vectors", "item_vectors"):
        expect(
            getattr(result, name).tobytes() == getattr(again, name).tobytes(),
            f"a resumed run has other {name}: what a step draws must be keyed by seed, epoch and row or "
            "step, and what it learns must be in the state_dict",
        )
    for part in ("model", "sampler"):
        ours, theirs = getattr(whole, part).state_dict(), getattr(resumed, part).state_dict()
        expect(
            all(same(ours[name], theirs[name]) for name in ours), f"a resumed run has another {part} state"
        )
    return result
