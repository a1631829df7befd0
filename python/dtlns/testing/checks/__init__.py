"""Check suites for samplers, models and judges, our own and a third party's: each is a test of three lines.

Example:
    >>> from dtlns.testing.checks import check_sampler
    >>> check_sampler("uniform")
"""

from dtlns.testing.checks.judge import check_judge
from dtlns.testing.checks.model import check_model
from dtlns.testing.checks.sampler import check_sampler

__all__ = ["check_judge", "check_model", "check_sampler"]
