"""The recipe `best`: what an arm and a trial change of the host, and what it takes to be better."""

from __future__ import annotations

import numpy as np

from dtlns.arms import better, going_on, with_arm
from dtlns.config import Arm, BestConfig


def test_an_arm_changes_the_use_and_the_temperature_alone() -> None:
    host = BestConfig(data="-").train
    arm = with_arm(host, Arm(scale=30.0, temperature=0.1))
    assert (arm.false_negatives, arm.loss.options) == ("sampled", {"temperature": 0.1})
    same = arm.model_copy(update={"false_negatives": host.false_negatives, "loss": host.loss})
    assert same == host
    assert with_arm(host, Arm(weight=0.5)).loss == host.loss


def test_what_goes_on_takes_smaller_steps_and_other_random_numbers() -> None:
    config = BestConfig(data="-", finish=0.25)
    host, rest = config.train, going_on(config)
    assert rest.learning_rate == 0.25 * host.learning_rate
    assert rest.epochs == 0.25 * host.epochs
    assert rest.seed != host.seed
    told = {"learning_rate": host.learning_rate, "epochs": host.epochs, "seed": host.seed}
    assert rest.model_copy(update=told) == host


def test_better_means_by_more_than_the_standard_error() -> None:
    plain = np.zeros(100)
    gain = np.zeros(100)
    gain[:10] = 1.0  # mean 0.1, standard error 0.0302
    assert better(gain, plain)
    gain[10:16] = -1.0  # mean 0.04, standard error 0.0394
    assert better(gain, plain)
    gain[16:18] = -1.0  # mean 0.02, standard error 0.0426
    assert not better(gain, plain)
    assert not better(plain, plain)
