"""A prompt as a model's tokens: the model's own chat template and tokenizer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dtlns.errors import ConfigError
from dtlns.judges.llm.base import Failure, Prompt

PROBE = Prompt("the rules", "the question")


class Chat:
    """Renders prompts by a tokenizer's chat template.

    A template that has no place for a system message gets the rules at the beginning of the user's message.
    What a prompt holds is text, never control: one with a control token of the model is a failure.

    Args:
        tokenizer: Of transformers.
        name: The model, for messages.
        options: Variables for the template, such as `enable_thinking`.

    Raises:
        ConfigError: There is no chat template, or it cannot render a question.
    """

    def __init__(self, tokenizer: Any, name: str, options: Mapping[str, Any]) -> None:
        if not tokenizer.chat_template:
            raise ConfigError(f"{name} has no chat template", allowed="a chat model")
        self.tokenizer = tokenizer
        self._options = dict(options)
        added = tokenizer.added_tokens_decoder.values()
        control = {str(one) for one in added if one.special or re.fullmatch(r"<.+>", str(one))}
        control |= set(tokenizer.all_special_tokens)
        self._control = re.compile(
            "|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)"
        )
        self._merged = False
        self._merged = not self._shows_system()
        try:
            rendered = self.render(PROBE)
        except Exception as error:  # a template may raise anything
            raise ConfigError(f"the chat template of {name} cannot render a question: {error}") from error
        if PROBE.system not in rendered or PROBE.user not in rendered:
            raise ConfigError(f"the chat template of {name} loses what it is given: {rendered!r}")

    def _shows_system(self) -> bool:
        try:
            return PROBE.system in self.render(PROBE)
        except Exception:  # some templates refuse the role by raising
            return False

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values: digests of tokenizer and template, and what the template is given."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        text = backend.to_str() if backend else json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        return {
            "tokenizer": _digest(text),
            "chat_template": _digest(json.dumps(self.tokenizer.chat_template, sort_keys=True)),
            "template_options": self._options,
            "system_message": "in the user's" if self._merged else "its own",
        }

    def render(self, prompt: Prompt) -> str:
        """Return the chat up to where the answer begins."""
        if self._merged:
            messages = [{"role": "user", "content": f"{prompt.system}\n\n{prompt.user}"}]
        else:
            messages = [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ]
        text: str = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **self._options
        )
        return text

    def encode(self, prompts: Sequence[Prompt]) -> list[list[int] | Failure]:
        """Return the tokens of each prompt, or why it has none."""
        control = [self._control.search(prompt.system + "\n" + prompt.user) for prompt in prompts]
        good = [prompt for prompt, found in zip(prompts, control, strict=True) if not found]
        ids = iter(self._ids([self.render(prompt) for prompt in good]))
        return [
            Failure(f"the prompt holds the model's control token {found.group()!r}") if found else next(ids)
            for found in control
        ]

    def count(self, prompts: Sequence[Prompt]) -> list[int]:
        """Return the length of each prompt in tokens, chat template included."""
        return [len(ids) for ids in self._ids([self.render(prompt) for prompt in prompts])]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        # the template writes what the model wants at the beginning; verbose=False: lengths are ours to judge
        encoded: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return encoded


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
