"""What engines share that hold the model themselves: tokens in, log-probabilities out."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dtlns.errors import ConfigError
from dtlns.judges.llm.base import Answer, Failure, Labels, Prompt
from dtlns.judges.llm.engines.labels import LabelTokens, Sighting, check_sightings, label_tokens, probes
from dtlns.judges.llm.engines.rendering import PROBE, Chat

ENCODED_AT_ONCE = 1024


class LocalEngine(ABC):
    """An engine in this process; a subclass loads a model and reads log-probabilities from it.

    Args:
        model: A local folder or a name.
        labels: The two answers.
        revision: Of a model by name.
        template_options: Variables for the model's chat template.

    Attributes:
        tokens: The labels in the model's tokens.
    """

    def __init__(
        self, model: str, *, labels: Labels, revision: str | None, template_options: Mapping[str, Any] | None
    ) -> None:
        self.model, self.labels, self.revision = model, labels, revision
        self.chat = load_chat(model, revision, template_options)
        self.tokens: LabelTokens = label_tokens(self.chat.tokenizer, self.chat.render(PROBE), labels)
        self._stopped = threading.Event()

    @property
    @abstractmethod
    def max_tokens(self) -> int | None:
        """The longest prompt with its answer, in tokens; None if the model has no limit."""

    @abstractmethod
    def _read(self, ids: Sequence[list[int]]) -> Iterator[tuple[int, list[list[float]], int | None]]:
        """Yield (place, log-probabilities of each step's tokens, cached tokens); end early once stopped."""

    @abstractmethod
    def _top(self, ids: list[int], count: int) -> list[tuple[int, float]]:
        """Return the likeliest next tokens and their log-probabilities, best first."""

    def _label_identity(self) -> dict[str, Any]:
        return {
            "labels": [self.labels.positive, self.labels.negative],
            "label_tokens": [list(self.tokens.positive), list(self.tokens.negative)],
            "decoding": f"log-probabilities of the labels, {self.tokens.method}",
        }

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Return the length of each prompt in tokens, chat template included."""
        return self.chat.count(prompts)

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (place, what came of it); prompts of one user side by side share what is computed."""
        self._stopped.clear()
        longest = max(len(step.forced) for step in self.tokens.steps) + 1
        for begin in range(0, len(prompts), ENCODED_AT_ONCE):
            places: list[int] = []
            good: list[list[int]] = []
            for at, ids in enumerate(self.chat.encode(prompts[begin : begin + ENCODED_AT_ONCE]), begin):
                if isinstance(ids, Failure):
                    yield at, ids
                elif self.max_tokens is not None and len(ids) + longest > self.max_tokens:
                    yield at, Failure(f"the prompt with its answer has more than {self.max_tokens} tokens")
                else:
                    places.append(at)
                    good.append(ids)
            for at, log_probs, cached in self._read(good):
                log_odds = self.tokens.log_odds(log_probs)
                if math.isfinite(log_odds):
                    yield places[at], Answer(log_odds, True, len(good[at]), cached)
                else:
                    yield places[at], Failure("the model's log-probabilities are not finite")
            if self._stopped.is_set():
                return

    def stop(self) -> None:
        """End the asking after what is being computed now; that is still yielded."""
        self._stopped.set()

    def check(self) -> None:
        """Ask a few plain questions and refuse a model whose label scores mean nothing.

        Raises:
            ConfigError: See `check_sightings`.
        """
        ids = []
        for one in self.chat.encode(probes(self.labels)):
            if isinstance(one, Failure):
                raise ConfigError(f"{self.model} fails the start-up check: {one.reason}")
            ids.append(one)
        read = {at: log_probs for at, log_probs, _ in self._read(ids)}
        forced = list(self.tokens.steps[0].forced)
        seen = [
            Sighting(read[at], [(self.chat.tokenizer.decode([t]), p) for t, p in self._top(one + forced, 5)])
            for at, one in enumerate(ids)
        ]
        check_sightings(self.model, self.labels, self.tokens, seen)

    def close(self) -> None:
        """Free what the engine holds."""
        self._stopped.set()


def load_chat(model: str, revision: str | None, options: Mapping[str, Any] | None) -> Chat:
    """Load a model's tokenizer and chat template.

    Raises:
        ConfigError: transformers is not installed, or this is no chat model.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise missing_library("transformers", "transformers", error) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise unreadable(model, error) from error
    return Chat(tokenizer, model, options or {})


def missing_library(engine: str, library: str, error: ImportError) -> ConfigError:
    """Return the error for an engine whose library is not installed."""
    return ConfigError(
        f"the engine {engine} needs the library {library} ({error})", hint=f"pip install 'dtlns[{engine}]'"
    )


def unreadable(model: str, error: Exception) -> ConfigError:
    """Return the error for a model that cannot be loaded, in plain words where the folder is wrong."""
    folder = Path(model)
    if folder.is_dir():
        there = (folder / "config.json").is_file()
        why = str(error).splitlines()[0] if there else "the folder holds no config.json"
    elif model.startswith((".", "/", "~")) or len(folder.parts) > 2:  # no name of a model is like that
        why = "there is no such folder"
    else:
        why = str(error).splitlines()[0]
    return ConfigError(
        f"the model {model} cannot be loaded: {why}",
        allowed="a folder with a model as transformers saves it, or the name of one",
    )
