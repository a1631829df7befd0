"""The options of the LLM judge: what decides its answers, and what only decides how they are got."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from dtlns.config import Settings

EngineName = Literal["vllm", "ray", "transformers", "server", "replay"]


def default_answers() -> Path:
    """Return the folder that answers are kept in, below the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "dtlns" / "answers"


class Question(Settings):
    """What decides an answer.

    Attributes:
        engine: Which engine asks the model: `vllm` and `transformers` in this process, `ray` replicas of vLLM
            on a Ray cluster, `server` any OpenAI-compatible server, `replay` recorded answers.
        model: A local folder or the model's name; for `replay`, the recorded file.
        revision: Of a model by name.
        dtype: Of the model's weights, such as `bfloat16` or `float32`; `auto` as the model says.
        template: A shipped template's name, or a template file.
        template_sha256: Of the template's text; where it is given, another text is refused.
        order: Of the history: `grouped` by prefix, or `random`.
        seed: Of a random order and of what a budget drops.
        budget: Tokens that a history may take in a prompt.
        band: The model is asked about a pair where the surprise of the prefix judge, in bits and summed over
            the views, lies between these two; the others keep the prefix judge's chance. None asks about
            every pair, and the model's score is the only one.
        item_text: A column of the data set's item table, such as `name`, that prompts show beside the codes;
            None shows codes alone, as the method has it.
        item_text_sha256: Of these texts; where it is given, others are refused.
    """

    engine: EngineName
    model: str = Field(min_length=1)
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    template: str = "compact-1"
    template_sha256: str | None = None
    order: Literal["grouped", "random"] = "grouped"
    seed: int = Field(0, ge=0)
    budget: int = Field(1024, ge=16)
    band: tuple[FiniteFloat, FiniteFloat] | None = None
    item_text: str | None = None
    item_text_sha256: str | None = None


class Means(Settings):
    """How answers are got; nothing here changes them.

    Attributes:
        answers: Folder where answers are kept, for all runs.  None means the user's cache folder.
        device: For `transformers`.
        engine_options: Passed on to the engine: for `vllm` arguments of `vllm.LLM`, such as
            `tensor_parallel_size`; for `transformers` and `server` those of their classes.
        endpoints: For `server`, base URLs such as `http://127.0.0.1:8000/v1`.
        key_variable: For `server`, the environment variable that holds the key.
        data: For `item_text`, the data set folder.
    """

    answers: Path | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    engine_options: dict[str, Any] = Field(default_factory=dict)
    endpoints: tuple[str, ...] = ()
    key_variable: str = "OPENAI_API_KEY"
    data: Path | None = None


class LLMSettings(Question, Means):
    """All options of the judge `llm`."""

    @model_validator(mode="after")
    def _fits(self) -> LLMSettings:
        if (self.engine == "server") != bool(self.endpoints):
            raise ValueError("endpoints go with engine = 'server', and it needs at least one")
        if (self.item_text is None) != (self.data is None):
            raise ValueError("item_text and data, the data set folder that it is from, go together")
        if self.band is not None and not self.band[0] < self.band[1]:
            raise ValueError(f"band = [LOW, HIGH] with LOW below HIGH, not {list(self.band)}")
        return self
