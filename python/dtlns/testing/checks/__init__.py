"""Check suites for plug-ins of every kind, our own and a third party's: each is a test of three lines.

Example:
    >>> from dtlns.testing.checks import check_sampler
    >>> check_sampler("uniform")
"""

from dtlns.testing.checks.judge import check_judge
from dtlns.testing.checks.loss import check_loss
from dtlns.testing.checks.model import check_model
from dtlns.testing.checks.sampler import check_sampler

__all__ = ["check_judge", "check_loss", "check_model", "check_sampler"]
