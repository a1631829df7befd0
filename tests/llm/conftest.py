"""Engines of one small model, each started when a test first wants it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_engine import SMALL

from dtlns.judges.llm.base import Engine, Labels

MODEL = os.environ.get("DTLNS_LLM_MODEL", "")
START_SECONDS = 1800
Start = Callable[..., Engine]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; without a model they skip."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(
                pytest.mark.skipif(not MODEL, reason="DTLNS_LLM_MODEL names no model; see make test-llm")
            )
            item.add_marker(pytest.mark.filterwarnings("default"))  # of the engines' libraries, not ours
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(4 * 3600))


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts an engine by name, dtype and labels; all are closed after the test."""
    engines: list[Engine] = []

    def make(name: str, dtype: str, labels: Labels, server: str | None = None) -> Engine:
        engines.append(_make(name, dtype, labels, server))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def _make(name: str, dtype: str, labels: Labels, server: str | None) -> Engine:
    if name == "transformers":
        pytest.importorskip("transformers", reason="transformers is not installed")
        from dtlns.judges.llm.engines.transformers import TransformersEngine

        return TransformersEngine(MODEL, labels=labels, dtype=dtype)
    pytest.importorskip("vllm", reason="vLLM is not installed")
    if name == "ray":
        pytest.importorskip("ray.data", reason="Ray is not installed")
        from dtlns.judges.llm.engines.ray import RayEngine

        return RayEngine(MODEL, labels=labels, dtype=dtype, gpus=0, block=8, **SMALL)
    if name == "server":
        from dtlns.judges.llm.engines.server import ServerEngine

        assert server is not None
        return ServerEngine([server], "judge", labels=labels, api_key_env=None)
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    return VLLMEngine(MODEL, labels=labels, dtype=dtype, chunk=32, **SMALL)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that starts a vLLM server of a dtype on this machine and returns its address."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(dtype: str) -> str:
        pytest.importorskip("vllm", reason="vLLM is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL]
        words += [
            "--served-model-name",
            "judge",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--dtype",
            dtype,
        ]
        for name, value in SMALL.items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        words += ["--enable-prompt-tokens-details"]
        said = tmp_path / "server.log"
        with said.open("wb") as log:
            running.append(subprocess.Popen(words, stdout=log, stderr=log))
        end = time.monotonic() + START_SECONDS
        while not _healthy(port):
            assert running[-1].poll() is None, f"the server ended: {said.read_text()[-2000:]}"
            assert time.monotonic() < end, f"no server after {START_SECONDS} s: {said.read_text()[-2000:]}"
            time.sleep(0.5)
        return f"http://127.0.0.1:{port}/v1"

    yield begin
    for one in running:
        one.terminate()
        one.wait(60)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
