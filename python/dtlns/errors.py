"""What can go wrong, as one small family: what is wrong, what is allowed, and a hint."""

from __future__ import annotations


class DtlnsError(Exception):
    """Base of every error that dtlns raises on purpose.

    Args:
        what: What is wrong, with the offending value.
        allowed: What would have been accepted.
        hint: What to do next.
    """

    def __init__(self, what: str, *, allowed: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, allowed, hint)
        self.what = what
        self.allowed = allowed
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.allowed, self.hint)

    def __str__(self) -> str:
        parts = [self.what]
        if self.allowed is not None:
            parts.append(f"allowed: {self.allowed}")
        if self.hint is not None:
            parts.append(f"hint: {self.hint}")
        return " · ".join(parts)


def _rebuild(kind: type[DtlnsError], what: str, allowed: str | None, hint: str | None) -> DtlnsError:
    return kind(what, allowed=allowed, hint=hint)


class InputError(DtlnsError, ValueError):
    """An argument has a wrong shape, type or value."""


class DataError(DtlnsError, ValueError):
    """A file or table cannot be read as interactions."""


class ConfigError(DtlnsError, ValueError):
    """A configuration names something unknown or impossible."""


class ArtifactError(DtlnsError, RuntimeError):
    """A folder that a stage needs is missing, damaged or of another kind."""


class CheckpointError(ArtifactError):
    """A checkpoint is damaged, or another run's, and training cannot go on from it."""


class LeakageError(DtlnsError, RuntimeError):
    """Something made from one training split was about to be used with another."""


class TrainingError(DtlnsError, RuntimeError):
    """Training cannot go on, for instance because the loss is not a number."""


class OutOfMemoryError(TrainingError):
    """Training needs more memory than there is."""


class JudgeError(DtlnsError, RuntimeError):
    """A judge cannot answer, for instance because its language model or server does not."""
