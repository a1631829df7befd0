"""Training curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dtlns.errors import ConfigError
from dtlns.training.progress import Progress


def tensorboard_progress(folder: Path) -> Callable[[Progress], None]:
    """Return a listener that writes loss, validation metric and rate of each epoch as scalars.

    Args:
        folder: Gets the event file.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard is not installed", hint="pip install 'dtlns[tensorboard]', or leave it out"
        ) from error
    writer = SummaryWriter(str(folder))

    def show(state: Progress) -> None:
        scalars = {"loss": state.loss, "pairs_per_second": state.pairs_per_second}
        if state.metric is not None and state.value is not None:
            scalars[f"valid/{state.metric}"] = state.value
        for name, value in scalars.items():
            writer.add_scalar(name, value, state.epoch)
        writer.flush()

    return show


def both(*listeners: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Tell several listeners, one after another."""

    def show(state: Progress) -> None:
        for listener in listeners:
            listener(state)

    return show
