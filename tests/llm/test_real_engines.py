"""Real engines and a real small model: the same probabilities, whatever asks.

`make test-llm` makes an environment for these; elsewhere they skip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from requests_to_judge import SPORTS, random_request, sports_request

from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.base import Answer, Engine, Failure, Labels, Prompt
from dtlns.judges.llm.prompts import PromptMaker, load_template

# In half precision two logits, each off by a step of 0.125 (numbers from 16 to 32), make 0.062.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1}
TEMPLATE = load_template("compact-1")
LABELS = TEMPLATE.labels
Start = Callable[..., Engine]


def prompts_of(request: JudgeRequest) -> list[Prompt]:
    users, items = request.candidates.pairs()
    return PromptMaker(request, TEMPLATE).prompts(users, items)


def probabilities(engine: Engine, prompts: Sequence[Prompt]) -> np.ndarray:
    outcomes = dict(engine.ask(prompts))
    answers = [outcomes[at] for at in range(len(prompts))]
    assert all(isinstance(one, Answer) and one.scored for one in answers)
    return 1 / (1 + np.exp([-one.log_odds for one in answers if isinstance(one, Answer)]))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_give_the_same_probabilities_on_200_pairs_of_amazon_sports(
    start: Start, serve: Callable[[str], str], dtype: str
) -> None:
    if not SPORTS.is_dir():
        pytest.skip("../shared/data/amazon-sports is not there")
    prompts = prompts_of(sports_request(users=10))
    assert len(prompts) == 200
    server = serve(dtype)
    counts, found = {}, {}
    for name in ("transformers", "vllm", "server"):
        engine = start(name, dtype, LABELS, server)
        engine.check()  # type: ignore[attr-defined]
        counts[name], found[name] = engine.count_tokens(prompts), probabilities(engine, prompts)
    assert np.ptp(found["vllm"]) > 0.1  # they are not all the same; half precision has few values
    worst = {name: float(np.abs(one - found["vllm"]).max()) for name, one in found.items()}
    print(f"\n{dtype}: largest difference to vLLM {worst}")
    assert max(worst.values()) <= TOLERANCE[dtype]
    assert counts["transformers"] == counts["vllm"] == counts["server"]


@pytest.mark.parametrize("name", ["transformers", "vllm"])
def test_a_prefix_cache_is_filled_and_a_bad_prompt_fails_alone(start: Start, name: str) -> None:
    prompts = prompts_of(random_request(users=3, candidates=8))
    engine = start(name, "float32", LABELS)
    answers = [one for _, one in engine.ask(prompts) if isinstance(one, Answer)]
    assert all(0 <= one.cached_tokens <= one.prompt_tokens for one in answers)
    assert sum(one.cached_tokens for one in answers) > 0.5 * sum(one.prompt_tokens for one in answers)
    control = engine.chat.tokenizer.eos_token  # type: ignore[attr-defined]
    outcomes = dict(engine.ask([Prompt("rules", "0123 " * 40_000), Prompt("rules", control), prompts[0]]))
    assert isinstance(outcomes[0], Failure)
    assert isinstance(outcomes[1], Failure)
    assert isinstance(outcomes[2], Answer)


def test_labels_that_begin_alike_are_scored_whole(start: Start) -> None:
    prompts = prompts_of(random_request(users=1, candidates=8))
    labels = Labels("not really liked", "not liked")
    light, fast = (start(name, "float32", labels) for name in ("transformers", "vllm"))
    assert light.identity["decoding"].endswith("sequence")
    one, other = (probabilities(engine, prompts) for engine in (light, fast))
    np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE["float32"])


def test_replicas_on_ray_are_the_engine_vllm(start: Start) -> None:
    prompts = prompts_of(random_request(users=3, candidates=8))
    replicas, fast = start("ray", "float32", LABELS), start("vllm", "float32", LABELS)
    assert replicas.identity == fast.identity  # so that they share answers
    assert replicas.count_tokens(prompts) == fast.count_tokens(prompts)
    one, other = (probabilities(engine, prompts) for engine in (replicas, fast))
    np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE["float32"])
    control = fast.chat.tokenizer.eos_token  # type: ignore[attr-defined]
    failed = dict(replicas.ask([Prompt("rules", control)]))[0]
    assert isinstance(failed, Failure)
    assert "control token" in failed.reason
