"""From settings to a running engine; each imports its library when it is started, and not before."""

from __future__ import annotations

from pathlib import Path

from dtlns.errors import ConfigError
from dtlns.judges.llm.base import Engine, Labels
from dtlns.judges.llm.settings import LLMSettings


def start_engine(settings: LLMSettings, labels: Labels) -> Engine:
    """Start the engine that the settings name, and see that its label scores say something.

    Args:
        settings: Of the judge.
        labels: The two answers.

    Raises:
        ConfigError: Its library is not installed, it does not take an option, or it fails the check of its
            label scores.
        JudgeError: A server does not answer.
    """
    engine = _make(settings, labels)
    check = getattr(engine, "check", None)  # recorded answers need none
    try:
        if check is not None:
            check()
    except BaseException:
        engine.close()  # nobody else will: the model may fill a GPU
        raise
    return engine


def _make(settings: LLMSettings, labels: Labels) -> Engine:
    more = settings.engine_options
    try:
        if settings.engine == "vllm":
            from dtlns.judges.llm.engines.vllm import VLLMEngine

            return VLLMEngine(
                settings.model, labels=labels, dtype=settings.dtype, revision=settings.revision, **more
            )
        if settings.engine == "ray":
            from dtlns.judges.llm.engines.ray import RayEngine

            return RayEngine(
                settings.model, labels=labels, dtype=settings.dtype, revision=settings.revision, **more
            )
        if settings.engine == "transformers":
            from dtlns.judges.llm.engines.transformers import TransformersEngine

            return TransformersEngine(
                settings.model,
                labels=labels,
                dtype=settings.dtype,
                revision=settings.revision,
                device=settings.device,
                **more,
            )
        if settings.engine == "server":
            if settings.dtype != "auto":
                raise ConfigError(
                    f"dtype = {settings.dtype!r} for a server",
                    allowed="auto: the server itself decides",
                )
            from dtlns.judges.llm.engines.server import ServerEngine

            return ServerEngine(
                settings.endpoints,
                settings.model,
                labels=labels,
                revision=settings.revision,
                api_key_env=settings.key_variable,
                **more,
            )
        from dtlns.judges.llm.engines.replay import ReplayEngine

        return ReplayEngine(Path(settings.model).expanduser(), **more)
    except TypeError as error:
        if not any(said in str(error) for said in ("unexpected keyword argument", "multiple values")):
            raise
        raise ConfigError(
            f"engine_options of the engine {settings.engine!r}: {error}",
            allowed="keyword arguments of its class that are no options of the judge",
        ) from error
