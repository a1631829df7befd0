"""Real engines and a real small model: the same probabilities, whatever asks.

`make test-llm` makes an environment for these; here they skip unless DTLNS_LLM_MODEL names a model's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import scipy.sparse as sp

from dtlns import PathCodes, TrainView
from dtlns.candidates import Candidates
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.base import Answer, Engine, Failure, Labels, Prompt
from dtlns.judges.llm.prompts import PromptMaker, load_template

MODEL = os.environ.get("DTLNS_LLM_MODEL", "")
pytestmark = [
    pytest.mark.skipif(not MODEL, reason="DTLNS_LLM_MODEL names no model; see make test-llm"),
    pytest.mark.filterwarnings("default"),  # of the engines' libraries, not ours
    pytest.mark.slow,
]
USERS, PAIRS = 3, 8
FLOAT32 = 1e-4
BFLOAT16 = 0.1  # two logits, each off by a step of 0.125 (numbers from 16 to 32), make 0.062, the most seen


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Path codes of random trees, compact prompts; those of one user side by side."""
    random = np.random.default_rng(0)
    items = 200
    liked = random.random((USERS, items)) < 0.08
    codes = {
        name: PathCodes.from_paths([tuple(path) for path in random.integers(0, 4, (items, 5)).tolist()])
        for name in ("structural", "semantic")
    }
    none = Candidates(np.full((USERS, 1), -1), np.zeros((USERS, 1), np.float32))
    request = JudgeRequest(TrainView.from_csr(sp.csr_array(liked)), codes, none)
    users = np.repeat(np.arange(USERS), PAIRS)
    return PromptMaker(request, load_template("compact-1")).prompts(
        users, random.integers(0, items, len(users))
    )


def start(engine: str, dtype: str, labels: Labels) -> Engine:
    if engine == "transformers":
        pytest.importorskip("transformers", reason="transformers is not installed")
        from dtlns.judges.llm.engines.transformers import TransformersEngine

        return TransformersEngine(MODEL, labels=labels, dtype=dtype)
    pytest.importorskip("vllm", reason="vLLM is not installed")
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    return VLLMEngine(
        MODEL, labels=labels, dtype=dtype, max_model_len=2048, enforce_eager=True, gpu_memory_utilization=0.15
    )


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[str, Engine, Engine]]:
    labels = load_template("compact-1").labels
    engines = start("transformers", request.param, labels), start("vllm", request.param, labels)
    yield (request.param, *engines)
    for one in engines:
        one.close()


def probabilities(engine: Engine, prompts: Sequence[Prompt]) -> np.ndarray:
    outcomes = dict(engine.ask(prompts))
    answers = [outcomes[at] for at in range(len(prompts))]
    assert all(isinstance(one, Answer) and one.scored for one in answers)
    return 1 / (1 + np.exp([-one.log_odds for one in answers if isinstance(one, Answer)]))


def test_vllm_and_transformers_give_the_same_probabilities(
    both: tuple[str, Engine, Engine], prompts: list[Prompt]
) -> None:
    dtype, light, fast = both
    one, other = probabilities(light, prompts), probabilities(fast, prompts)
    assert len(np.unique(one)) > 1
    np.testing.assert_allclose(one, other, rtol=0, atol=FLOAT32 if dtype == "float32" else BFLOAT16)
    assert light.count_tokens(prompts) == fast.count_tokens(prompts)


def test_both_pass_the_start_up_check_and_fill_a_prefix_cache(
    both: tuple[str, Engine, Engine], prompts: list[Prompt]
) -> None:
    for engine in both[1:]:
        engine.check()  # type: ignore[attr-defined]
        answers = [one for _, one in engine.ask(prompts) if isinstance(one, Answer)]
        assert all(0 <= one.cached_tokens <= one.prompt_tokens for one in answers)
        assert sum(one.cached_tokens for one in answers) > 0.5 * sum(one.prompt_tokens for one in answers)


def test_a_bad_prompt_fails_alone(both: tuple[str, Engine, Engine], prompts: list[Prompt]) -> None:
    control = both[1].chat.tokenizer.eos_token  # type: ignore[attr-defined]
    long = Prompt("rules", "0123 " * 40_000)
    for engine in both[1:]:
        outcomes = dict(engine.ask([long, Prompt("rules", control), prompts[0]]))
        assert isinstance(outcomes[0], Failure)
        assert isinstance(outcomes[1], Failure)
        assert isinstance(outcomes[2], Answer)


def test_labels_that_begin_alike_are_scored_whole(prompts: list[Prompt]) -> None:
    labels = Labels("not really liked", "not liked")
    light, fast = (start(name, "float32", labels) for name in ("transformers", "vllm"))
    assert light.identity["decoding"].endswith("sequence")
    np.testing.assert_allclose(
        probabilities(light, prompts[:8]), probabilities(fast, prompts[:8]), rtol=0, atol=FLOAT32
    )
    for one in (light, fast):
        one.close()
