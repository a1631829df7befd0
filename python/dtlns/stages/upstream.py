"""Everything before the final model, made when it is first asked for: from the training view alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol

from dtlns.artifacts import Artifact
from dtlns.config import CalibrationConfig, JudgeConfig, TreesConfig
from dtlns.data.dataset import Dataset
from dtlns.judges.base import Judge
from dtlns.judges.registry import build_judge, close_judge, prepare_judge
from dtlns.stages.calibration import write_calibration
from dtlns.stages.candidates import hide_rule, write_candidates
from dtlns.stages.controls import Control, write_control
from dtlns.stages.false_negative_model import write_found
from dtlns.stages.hidden import check_calibration, write_hidden
from dtlns.stages.judging import write_judged
from dtlns.stages.pretrain import write_pretrained
from dtlns.stages.trees import item_names, write_trees
from dtlns.training.progress import Progress
from dtlns.training.settings import TrainConfig

log = logging.getLogger(__name__)


class UpstreamSettings(Protocol):
    """What the stages are told; `RunConfig`, `BestConfig` and `CompareConfig` say it."""

    @property
    def pretrain(self) -> TrainConfig:
        """The model behind the semantic tree and the candidates."""
        ...

    @property
    def candidates(self) -> int:
        """Judged items per user, M."""
        ...

    @property
    def calibration(self) -> CalibrationConfig:
        """How judge scores become chances."""
        ...


class Upstream:
    """The stages between a data set and the final models, each an artefact that is made once.

    What is there, whole and made from the same settings and inputs is kept.

    Args:
        out: Folder that the artefacts go to.
        data: The data set; its training view is all that is read.
        settings: Of the stages.
        device: Where to train.
        progress: Called after each epoch.

    Raises:
        ConfigError: The data cannot be calibrated on as the settings say.
    """

    def __init__(
        self,
        out: Path,
        data: Dataset,
        settings: UpstreamSettings,
        *,
        device: str = "cpu",
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        check_calibration(data.train, settings.calibration)
        self.out = out
        self.data = data
        self.settings = settings
        self.device = device
        self.progress = progress
        self._judge: tuple[JudgeConfig, Judge] | None = None
        self._facts = {"dataset": os.path.relpath(data.path.resolve(), (out / "any").resolve())}

    @cached_property
    def pretrained(self) -> Artifact:
        """The model behind the semantic view and the candidates."""
        model = self.settings.pretrain
        log.info("pretraining: %s", model.model.name)
        return write_pretrained(
            self.out / "pretrained",
            self.data.train,
            model,
            facts=self._facts,
            device=self.device,
            if_exists="reuse",
            progress=self.progress,
        )

    @cached_property
    def candidates(self) -> Artifact:
        """Each user's best unobserved items."""
        pretrained = self.pretrained
        log.info("taking candidates")
        return write_candidates(
            self.out / "candidates",
            self.data.train,
            pretrained,
            min(self.settings.candidates, self.data.train.n_items),
            hide_by=hide_rule(self.data),
            facts=self._facts,
            if_exists="reuse",
        )

    @cached_property
    def hidden(self) -> Artifact:
        """Hidden positives, and the pretrained model rebuilt without them."""
        return self.hidings(1)[0]

    def hidings(self, n: int) -> list[Artifact]:
        """Hide positives several times, by seeds that follow each other.

        Args:
            n: How many times.
        """
        settings, candidates, made = self.settings.calibration, self.candidates, []
        for at in range(n):
            log.info("hiding positives and pretraining without them, %d of %d", at + 1, n)
            made.append(
                write_hidden(
                    self.out / ("hidden" if at == 0 else f"hidden-{at + 1}"),
                    candidates,
                    settings.model_copy(update={"seed": settings.seed + at}),
                    device=self.device,
                    if_exists="reuse",
                    progress=self.progress,
                )
            )
        return made

    def found(self, trees: TreesConfig | None, hidings: int) -> Artifact:
        """Find false negatives with the model of several features.

        Args:
            trees: The trees whose codes it reads, or None.
            hidings: How many times positives are hidden for it.
        """
        codes = None if trees is None else self.trees(trees)
        without = self.hidings(hidings)
        log.info("finding false negatives")
        return write_found(
            self.out / "found",
            self.candidates,
            self.pretrained,
            without,
            trees=codes,
            seed=self.settings.calibration.seed,
            if_exists="reuse",
        )

    def trees(self, settings: TreesConfig) -> Artifact:
        """Build the index trees.

        Args:
            settings: Their shape, views and codes.
        """
        semantic = self.pretrained if "semantic" in settings.views else None
        log.info("building trees")
        return write_trees(
            self.out / _labelled("trees", settings),
            self.data.train,
            settings,
            semantic=semantic,
            item_names=item_names(self.data),
            facts=self._facts,
            if_exists="reuse",
        )

    def calibration(self, trees: TreesConfig, judge: JudgeConfig) -> Artifact:
        """Calibrate a judge.

        Args:
            trees: The trees whose codes it reads.
            judge: Which one.
        """
        log.info("calibrating the %s judge", judge.name)
        return write_calibration(
            self.out / _labelled("calibration", trees, judge.name),
            self.candidates,
            self.trees(trees),
            self.hidden,
            self.judge(judge),
            users=self.settings.calibration.users,
            if_exists="reuse",
        )

    def judged(self, trees: TreesConfig | None, judge: JudgeConfig | Control) -> Artifact:
        """Judge the candidates.

        Args:
            trees: The trees whose codes the judge reads; None for a control that reads none.
            judge: Which one, or a control, `no-judge` or `oracle`.
        """
        if not isinstance(judge, JudgeConfig):
            return write_control(
                self.out / f"judged-{judge}",
                self.candidates,
                judge,
                hidden=self.hidden if judge == "no-judge" else None,
                data=self.data if judge == "oracle" else None,
                if_exists="reuse",
            )
        assert trees is not None, "a judge reads codes"
        return write_judged(
            self._judged_folder(trees, judge),
            self.candidates,
            self.trees(trees),
            self.calibration(trees, judge),
            judge=self.judge(judge),
            if_exists="reuse",
        )

    def judge(self, config: JudgeConfig) -> Judge:
        """Return a judge, the same one for as long as it is asked: it may hold a model.

        Args:
            config: Which one.
        """
        if self._judge is None or self._judge[0] != config:
            self.close()
            self._judge = config, build_judge(config)
        return self._judge[1]

    def prepare(self, trees: TreesConfig, judge: JudgeConfig) -> None:
        """Let a judge that is still to be asked fail now, and not after the pretraining.

        Args:
            trees: The trees whose codes it will read.
            judge: Which one.
        """
        if not self._judged_folder(trees, judge).exists():
            prepare_judge(self.judge(judge))

    def close(self) -> None:
        """Free what the judge holds; it is made again when it is asked again."""
        if self._judge is not None:
            close_judge(self._judge[1])
            self._judge = None

    def _judged_folder(self, trees: TreesConfig, judge: JudgeConfig) -> Path:
        return self.out / _labelled("judged", trees, judge.name)


def _labelled(stage: str, trees: TreesConfig, judge: str | None = None) -> str:
    """Name a folder by what differs within one run: the codes, the views and the judge."""
    parts = [stage]
    if trees.codes != "built":
        parts.append(trees.codes)
    if trees.views != TreesConfig().views:
        parts += trees.views
    return "-".join(parts + ([judge] if judge not in (None, "prefix") else []))
