"""The judge `llm`: a language model reads codes, and the probabilities of its two labels are the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.config import checked
from dtlns.errors import ConfigError
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.answers import AnswerStore
from dtlns.judges.llm.base import Answer, Engine, Prompt
from dtlns.judges.llm.job import Cost, ask_all
from dtlns.judges.llm.lazy import PromptList
from dtlns.judges.llm.prompts import PromptMaker, load_template
from dtlns.judges.llm.settings import LLMSettings, Question, default_answers
from dtlns.judges.llm.start import start_engine
from dtlns.judges.llm.texts import ItemTexts, load_texts
from dtlns.judges.prefix import PrefixJudge


class LLMJudge:
    """Scores each candidate by log P(positive) - log P(negative) of a language model that reads its codes.

    With a band, the prefix judge scores every candidate, and the model is asked where its score could go
    either way.

    The engine is started when answers are wanted, since they are kept under what it is, and stays for the
    next request. Answers are kept in a folder for all runs (`dtlns.judges.llm.answers`), so nothing is asked
    twice.

    Source: the false-negative identification of arXiv 2602.18249, with the label's probability in place of
    the label.

    Args:
        **options: The fields of `dtlns.judges.llm.settings.LLMSettings`.

    Attributes:
        settings: The checked options.
        cost: What was asked so far.

    Raises:
        ConfigError: An option is unknown or out of range, or the template or the item text cannot be read.
    """

    name = "llm"
    option_names = tuple(LLMSettings.model_fields)

    def __init__(self, **options: Any) -> None:
        self.settings = checked(LLMSettings, options, "the options of the judge llm")
        self.template = load_template(self.settings.template, sha256=self.settings.template_sha256)
        self.texts = self._texts()
        self.cost = Cost()
        self._engine: Engine | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What decides the answers, plain JSON values."""
        decisive = self.settings.model_dump(mode="json", include=set(Question.model_fields))
        texts = None if self.texts is None else self.texts.sha256
        return decisive | {"template_sha256": self.template.sha256, "item_text_sha256": texts}

    def _texts(self) -> ItemTexts | None:
        settings = self.settings
        if (settings.item_text is not None) != (self.template.form == "described"):
            raise ConfigError(
                f"item_text = {settings.item_text!r}, and the template {settings.template!r} shows items "
                f"{self.template.form}",
                allowed="item_text with a template of the form described, such as described-1",
            )
        if settings.item_text is None or settings.data is None:
            return None
        found = load_texts(settings.data.expanduser(), settings.item_text)
        if settings.item_text_sha256 not in (None, found.sha256):
            raise ConfigError(
                f"the texts {settings.item_text!r} of {settings.data} have the SHA-256 {found.sha256}",
                allowed=str(settings.item_text_sha256),
                hint="they are not those that were calibrated with",
            )
        return found

    @property
    def partial_columns(self) -> tuple[str, ...]:
        """With a band, the column `llm` is NaN outside."""
        return () if self.settings.band is None else ("llm",)

    def columns(self, request: JudgeRequest) -> list[str]:
        """One column, `llm`; with a band, those of the prefix judge before it."""
        return ["llm"] if self.settings.band is None else [*PrefixJudge().columns(request), "llm"]

    def score(self, request: JudgeRequest) -> NDArray[np.float32]:
        """Return the log-odds of the label positive, float32 [N, 1].

        With a band: float32 [N, V + 1], the prefix judge's scores before it, and NaN where it is not asked.

        Raises:
            JudgeError: Prompts have no answer; those that have one are kept.
        """
        if self.settings.band is None:
            return np.array([[one.log_odds] for one in self.answers(request)], np.float32).reshape(-1, 1)
        by_rule = PrefixJudge().score(request)
        rows = self._in_band(by_rule)
        by_model = np.full((len(rows), 1), np.nan, dtype=np.float32)
        by_model[rows, 0] = [one.log_odds for one in self.answers(request, rows)]
        return np.concatenate([by_rule, by_model], axis=1)

    def asked(self, request: JudgeRequest) -> NDArray[np.bool_]:
        """Tell which pairs the model is asked about, bool [N]: those in the band, and all without one.

        It depends on the pair and the user's history alone, and not on what else is judged.
        """
        if self.settings.band is None:
            return np.ones(len(request.candidates.pairs()[0]), dtype=np.bool_)
        return self._in_band(PrefixJudge().score(request))

    def _in_band(self, by_rule: NDArray[np.float32]) -> NDArray[np.bool_]:
        assert self.settings.band is not None
        low, high = self.settings.band
        bits = by_rule.sum(axis=1)
        inside: NDArray[np.bool_] = (bits >= low) & (bits <= high)
        return inside

    def answers(self, request: JudgeRequest, rows: NDArray[np.bool_] | None = None) -> list[Answer]:
        """Return the answer to each pair of a request, asked or known.

        Args:
            request: Histories, codes and candidates.
            rows: bool [N], the pairs that are wanted; None means all.

        Raises:
            JudgeError: As in `score`.
        """
        prompts = self.prompts(request, rows)
        if not len(prompts):
            return []
        answers, cost = ask_all(self.engine, self.store(), prompts)
        self.cost += cost
        return answers

    def prompts(self, request: JudgeRequest, rows: NDArray[np.bool_] | None = None) -> Sequence[Prompt]:
        """Return the prompt of each pair that is wanted, in the order of `request.candidates.pairs()`.

        They are made when they are looked at.
        """
        settings = self.settings
        if self.texts is not None:
            self.texts.check(request.train)
        maker = PromptMaker(
            request,
            self.template,
            order=settings.order,
            seed=settings.seed,
            budget=settings.budget,
            texts=None if self.texts is None else self.texts.texts,
        )
        users, items = request.candidates.pairs()
        rows = np.ones(len(users), dtype=np.bool_) if rows is None else rows
        return PromptList(maker.prompts, users[rows], items[rows])

    def store(self) -> AnswerStore:
        """Return where answers are kept."""
        return AnswerStore(self.settings.answers or default_answers(), self.engine.identity)

    @property
    def engine(self) -> Engine:
        """The engine, started when it is first needed."""
        if self._engine is None:
            self._engine = start_engine(self.settings, self.template.labels)
        return self._engine

    @property
    def identity(self) -> dict[str, Any]:
        """What answers: model, tokenizer, chat template, engine and decoding, plain JSON values."""
        return self.engine.identity

    def prepare(self) -> None:
        """Start the engine.

        Raises:
            ConfigError: Its library or model is not there, or fails its check.
            JudgeError: A server does not answer.
        """
        self.engine  # noqa: B018 - starting is all that is wanted

    def close(self) -> None:
        """Free what the engine holds."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
