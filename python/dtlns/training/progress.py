"""What a running training tells, and a printer for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

PAUSE = 10.0  # seconds


@dataclass(frozen=True)
class Progress:
    """The state after an epoch.

    Attributes:
        epoch: Epochs done.
        epochs: Most epochs that will be run.
        loss: Mean loss of the epoch.
        metric: Name of the selector's number, or None without a selector.
        value: The selector's number, where this epoch was validated.
        best: Its best value so far.
        best_epoch: Where that was.
        pairs_per_second: Training pairs per second in this epoch.
        seconds_left: Until `epochs`, at this epoch's pace; stopping early makes it less.
    """

    epoch: int
    epochs: int
    loss: float
    metric: str | None
    value: float | None
    best: float | None
    best_epoch: int | None
    pairs_per_second: float
    seconds_left: float

    def line(self) -> str:
        """Return one line for eyes."""
        parts = [f"epoch {self.epoch}/{self.epochs}", f"loss {self.loss:.4f}"]
        if self.value is not None and self.best is not None:
            parts.append(f"{self.metric} {self.value:.4f} (best {self.best:.4f} at {self.best_epoch})")
        parts.append(f"{self.pairs_per_second / 1000:,.0f}k pairs/s")
        if self.seconds_left > 0.0:
            parts.append(f"at most {_duration(self.seconds_left)} left")
        return " · ".join(parts)


def stderr_progress(
    stream: TextIO | None = None, *, pause: float | None = None
) -> Callable[[Progress], None]:
    """Return a printer: one line that is rewritten on a terminal, a line now and then elsewhere.

    Args:
        stream: Where to write; the process's stderr by default.
        pause: Least seconds between two lines elsewhere, `PAUSE` by default; the last epoch is always shown.
    """
    out = sys.stderr if stream is None else stream
    wait = PAUSE if pause is None else pause
    terminal = out.isatty()
    shown = time.monotonic()

    def show(state: Progress) -> None:
        nonlocal shown
        last = state.seconds_left == 0.0  # stopped early or done
        if terminal:
            out.write(f"\r\x1b[K{state.line()}" + ("\n" if last else ""))
        elif last or time.monotonic() - shown >= wait:
            out.write(state.line() + "\n")
            shown = time.monotonic()
        out.flush()

    return show


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
