"""The light engine: transformers on a CPU or GPU, with one prefix kept in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from dtlns._border import integer
from dtlns.judges.llm.base import Labels
from dtlns.judges.llm.engines.local import LocalEngine, missing_library, unreadable
from dtlns.judges.llm.engines.weights import model_identity

CALL = 64  # tokens: computing so many more is worth one call of the model less


class TransformersEngine(LocalEngine):
    """Asks a model that transformers loads.

    Consecutive prompts are put into one batch as long as they share a beginning, which is computed once and
    kept for the next batch as far as that shares it, too.

    Args:
        model: A local folder or a name.
        labels: The two answers.
        revision: Of a model by name.
        device: `cpu` or `cuda`.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` as the model is stored.
        batch_size: Prompts computed at once.
        prefix_cache: Whether shared beginnings are kept. Models whose state cannot be cut back need false.
        template_options: Variables for the model's chat template.

    Raises:
        ConfigError: transformers is not installed, the model cannot be loaded or is no chat model.
        InputError: `batch_size` is not a count.
    """

    def __init__(
        self,
        model: str,
        *,
        labels: Labels,
        revision: str | None = None,
        device: str = "cpu",
        dtype: str = "auto",
        batch_size: int = 32,
        prefix_cache: bool = True,
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, labels=labels, revision=revision, template_options=template_options)
        try:
            import transformers
        except ImportError as error:
            raise missing_library("transformers", "transformers", error) from error
        self._batch_size = integer("batch_size", batch_size, 1, 65_536)
        self._prefix_cache = prefix_cache
        self._version = transformers.__version__
        self._new_cache = transformers.DynamicCache
        try:
            loaded = transformers.AutoModelForCausalLM.from_pretrained(model, revision=revision, dtype=dtype)
        except (OSError, ValueError) as error:
            raise unreadable(model, error) from error
        self._model: Any = loaded.to(device).eval()
        self._forget()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers."""
        commit = getattr(self._model.config, "_commit_hash", None)
        return {
            "engine": "transformers",
            "versions": {"transformers": self._version, "torch": torch.__version__},
            "model": model_identity(self.model, self.revision, commit),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": self._model.device.type,
            **self.chat.identity,
            **self._label_identity(),
        }

    @property
    def max_tokens(self) -> int | None:
        """The model's positions."""
        return getattr(self._model.config.get_text_config(), "max_position_embeddings", None)

    def close(self) -> None:
        """Drop model and cache."""
        super().close()
        self._forget()
        self._model = None

    def _forget(self) -> None:
        self._held: list[int] = []
        self._cache = self._new_cache()

    def _read(self, ids: Sequence[list[int]]) -> Iterator[tuple[int, list[list[float]], int | None]]:
        begin = 0
        while begin < len(ids) and not self._stopped.is_set():
            end, shared = self._group(ids, begin)
            kept = common(self._held, ids[begin][:shared])
            read = self._log_probs(ids[begin:end], ids[begin][:shared])
            for at, values in enumerate(read, begin):
                yield at, values, kept if at == begin else shared
            begin = end

    def _group(self, ids: Sequence[list[int]], begin: int) -> tuple[int, int]:
        """Return the end of a batch and how many tokens its prompts share; each keeps one of its own."""
        shared, end = len(ids[begin]) - 1, begin + 1
        while end < len(ids) and end - begin < self._batch_size:
            less = min(common(ids[begin][:shared], ids[end]), len(ids[end]) - 1)
            if self._prefix_cache and (end - begin) * (shared - less) > CALL:
                break
            shared, end = less, end + 1
        return end, shared if self._prefix_cache else 0

    @torch.inference_mode()
    def _log_probs(self, prompts: Sequence[list[int]], prefix: list[int]) -> list[list[list[float]]]:
        self._hold(prefix)
        steps = self.tokens.steps
        rows = [[*prompt[len(prefix) :], *step.forced] for prompt in prompts for step in steps]
        last = self._last_logits(rows).float().log_softmax(-1)
        values = iter(last)
        return [[next(values)[list(step.tokens)].tolist() for step in steps] for _ in prompts]

    def _hold(self, prefix: list[int]) -> None:
        """Make the cache hold exactly a prefix, computing what is new in it."""
        kept = common(self._held, prefix)
        if kept < len(self._held):
            self._cut(len(self._held) - kept)
        if prefix[kept:]:
            self._model(
                input_ids=self._tensor([prefix[kept:]]),
                attention_mask=self._tensor([[1] * len(prefix)]),
                position_ids=self._tensor([list(range(kept, len(prefix)))]),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self._held = prefix

    def _last_logits(self, rows: list[list[int]]) -> torch.Tensor:
        """Return [rows, vocabulary]: what follows the held prefix and each row; the cache stays as it is."""
        past, width = len(self._held), max(map(len, rows))
        self._cache.batch_repeat_interleave(len(rows))
        ends = [len(row) - 1 for row in rows]
        wanted = sorted(set(ends))  # logits of other places are not made: vocabularies are large
        pad = [width - len(row) for row in rows]
        logits: torch.Tensor = self._model(
            input_ids=self._tensor([row + [0] * more for row, more in zip(rows, pad, strict=True)]),
            attention_mask=self._tensor([[1] * (past + width - more) + [0] * more for more in pad]),
            position_ids=self._tensor([list(range(past, past + width))]),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=self._tensor(wanted),
        ).logits
        if past:
            self._cache.batch_select_indices(self._tensor([0]))
            self._cut(width)
        else:
            self._forget()
        places = self._tensor([wanted.index(end) for end in ends])
        return logits[torch.arange(len(rows), device=logits.device), places]

    def _cut(self, tokens: int) -> None:
        self._cache.crop(-tokens)

    def _top(self, ids: list[int], count: int) -> list[tuple[int, float]]:
        with torch.inference_mode():
            self._hold([])
            best = self._last_logits([ids])[0].float().log_softmax(-1).topk(count)
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def _tensor(self, values: list[Any]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._model.device)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences share from the start.

    Example:
        >>> common([1, 2, 3], [1, 2, 4, 5])
        2
    """
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
