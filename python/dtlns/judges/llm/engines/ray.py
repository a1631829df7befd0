"""The engine ray: replicas of the engine vLLM on a Ray cluster, as batch inference of Ray Data."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dtlns._border import integer
from dtlns.errors import ConfigError, DtlnsError, JudgeError
from dtlns.judges.llm.base import Answer, Failure, Labels, Prompt
from dtlns.judges.llm.engines.local import load_chat, missing_library

log = logging.getLogger(__name__)
Batch = dict[str, np.ndarray[Any, Any]]


class RayEngine:
    """Asks a model that vLLM loads on the machines of a Ray cluster, once in each replica.

    Ray places replicas, hands them blocks of prompts, and starts again what fails. Answers come back block by
    block. They are those of the engine `vllm`, so both have one identity. Every machine needs the same
    environment, and the model under the same path or name.

    Args:
        model: A local folder or a name.
        labels: The two answers.
        revision: Of a model by name.
        dtype: As for the engine `vllm`.
        replicas: How many there are at once, at most.
        gpus: Of one replica; None means those that its parallel sizes tell. 0 for vLLM on CPUs.
        cpus: Of one replica, as Ray counts them.
        block: Prompts that a replica gets at once. Those of a user in one block share its prefix cache.
        template_options: Variables for the model's chat template.
        **options: Passed on to the engine `vllm`, such as `tensor_parallel_size`; GPUs that share a model are
            in one machine.

    Raises:
        ConfigError: Ray is not installed, or the model's tokenizer cannot be loaded.
        InputError: `replicas` or `block` is not a count.
    """

    def __init__(
        self,
        model: str,
        *,
        labels: Labels,
        revision: str | None = None,
        dtype: str = "auto",
        replicas: int = 1,
        gpus: float | None = None,
        cpus: float = 1.0,
        block: int = 256,
        template_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._replicas = integer("replicas", replicas, 1, 1_000_000)
        self._block = integer("block", block, 1, 1_000_000)
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise missing_library("ray", "ray", error) from error
        self._ray: Any = ray
        self.chat = load_chat(model, revision, template_options)
        shared = {"revision": revision, "dtype": dtype, "template_options": template_options}
        self._arguments: dict[str, Any] = {"model": model, "labels": labels, **shared, **options}
        world = options.get("tensor_parallel_size", 1) * options.get("pipeline_parallel_size", 1)
        if world > 1:  # Ray gives a replica its GPUs; vLLM need not ask it for more
            self._arguments.setdefault("distributed_executor_backend", "mp")
        self._resources = {"num_gpus": world if gpus is None else gpus, "num_cpus": cpus}
        self._identity: dict[str, Any] | None = None
        self._connected = False
        self._stopped = threading.Event()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers, as a replica tells."""
        self.check()
        assert self._identity is not None
        return self._identity

    def check(self) -> None:
        """Start one replica on the cluster, once, to see that its label scores say something.

        The environment variable RAY_ADDRESS names the cluster; without it, Ray starts one on this machine.

        Raises:
            ConfigError: As for the engine `vllm`.
            JudgeError: Ray cannot be reached, or the replica ends.
        """
        if self._identity is not None:
            return
        self._connect()
        describe = self._ray.remote(max_calls=1, **self._resources)(_describe)
        try:
            self._identity = self._ray.get(describe.remote(self._arguments))
        except self._ray.exceptions.RayError as error:
            raise _reason(error) from error

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Return the length of each prompt in tokens, chat template included."""
        return self.chat.count(prompts)

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (place, what came of it), block by block as replicas end them.

        After `stop`, the next block to end is the last one that is yielded.

        Raises:
            JudgeError: Ray gives up, or a replica is not like the one that was checked.
        """
        identity = self.identity
        self._stopped.clear()
        blocks = math.ceil(len(prompts) / self._block)
        if not blocks:
            return
        rows = [{"place": at, "system": one.system, "user": one.user} for at, one in enumerate(prompts)]
        answered = self._ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _Replica,
            fn_constructor_args=(self._arguments, identity),
            batch_size=None,  # whole blocks: neighbours stay together
            compute=self._ray.data.ActorPoolStrategy(size=min(self._replicas, blocks)),
            **self._resources,
        )
        try:
            for batch in answered.iter_batches(batch_size=None, batch_format="numpy"):
                yield from _outcomes(batch)
                if self._stopped.is_set():
                    return
        except self._ray.exceptions.RayError as error:
            raise _reason(error) from error

    def stop(self) -> None:
        """End the asking after the block that ends next."""
        self._stopped.set()

    def close(self) -> None:
        """Leave the cluster, and end it where it was started here."""
        self.stop()
        if self._connected:
            self._ray.shutdown()
            self._connected = False

    def _connect(self) -> None:
        if not self._ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked for reports to Ray's makers
            try:
                self._ray.init(logging_level="warning", log_to_driver=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise JudgeError(f"Ray cannot be reached: {error}", hint="see RAY_ADDRESS") from error
            self._connected = True
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        self._ray.data.DataContext.get_current().enable_progress_bars = False  # the job has lines of its own
        there, wanted = self._ray.cluster_resources().get("GPU", 0), self._resources["num_gpus"]
        if there < wanted:
            log.warning(
                "the Ray cluster has %g GPUs and a replica takes %g; it waits for more (on CPUs: gpus = 0)",
                there,
                wanted,
            )


class _Replica:
    """Lives in an actor of Ray Data and answers blocks of prompts."""

    def __init__(self, arguments: dict[str, Any], identity: dict[str, Any]) -> None:
        self._engine = _start(arguments)
        mine = self._engine.identity
        for name in sorted({*mine, *identity}):
            if mine.get(name) != identity.get(name):
                raise ConfigError(
                    f"a replica's {name} is {mine.get(name)!r}, and that of the one that was checked "
                    f"{identity.get(name)!r}",
                    hint="give all machines of the cluster the same environment and model",
                )

    def __call__(self, batch: Batch) -> Batch:
        prompts = [Prompt(*texts) for texts in zip(batch["system"], batch["user"], strict=True)]
        got = dict(self._engine.ask(prompts))
        outcomes = [got[at] for at in range(len(prompts))]
        good = [one if isinstance(one, Answer) else None for one in outcomes]
        return {
            "place": batch["place"],
            "failure": np.array(
                [one.reason if isinstance(one, Failure) else "" for one in outcomes], dtype=object
            ),
            "log_odds": np.array([one.log_odds if one else math.nan for one in good]),
            "prompt_tokens": np.array([one.prompt_tokens if one else 0 for one in good]),
            "cached_tokens": np.array(
                [-1 if one is None or one.cached_tokens is None else one.cached_tokens for one in good]
            ),
        }


def _start(arguments: dict[str, Any]) -> Any:
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # nothing outlives the actor
    return VLLMEngine(**arguments)


def _describe(arguments: dict[str, Any]) -> dict[str, Any]:
    engine = _start(arguments)
    try:
        engine.check()
        identity: dict[str, Any] = engine.identity
    finally:
        engine.close()
    return identity


def _outcomes(batch: Batch) -> Iterator[tuple[int, Answer | Failure]]:
    names = ("place", "failure", "log_odds", "prompt_tokens", "cached_tokens")
    for at, reason, log_odds, tokens, cached in zip(*(batch[name].tolist() for name in names), strict=True):
        answer = Answer(log_odds, True, tokens, None if cached < 0 else cached)
        yield at, Failure(reason) if reason else answer


def _reason(error: Exception) -> Exception:
    """Return what a replica raised on purpose, or a JudgeError with the last line of what Ray says."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (DtlnsError, TypeError)):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return JudgeError(f"the Ray job failed: {lines[-1].strip() if lines else type(error).__name__}")
