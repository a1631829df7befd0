"""Pairs per second of the judge `llm` on vLLM, and of one full prompt per pair with a free-form answer.

python benches/python/judge_throughput.py DATASET TREES CANDIDATES MODEL [--users 10] [--free 40]

Both ways have the same model, engine and batching, and a prefix cache that is empty at the start. Ours:
`compact-1` and the log-probabilities of the labels. The other: `full-1`, a user's whole history in each
prompt, and JSON of up to 256 tokens. Starting the engine is not counted. `--users` users are drawn, and all
of their candidates judged; `--free` of these pairs, spread over the users, the other way.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import vllm

from dtlns.artifacts import open_artifact
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.base import Answer
from dtlns.judges.llm.engines.vllm import VLLMEngine
from dtlns.judges.llm.prompts import PromptMaker, load_template
from dtlns.stages.candidates import load_candidates
from dtlns.stages.trees import load_codes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("dataset", "trees", "candidates"):
        parser.add_argument(name, type=Path)
    parser.add_argument("model")
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--free", type=int, default=40)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--block-size", type=int, default=None, help="tokens; None as vLLM chooses")
    given = parser.parse_args()

    candidates, train = load_candidates(open_artifact(given.candidates, "candidates"))
    request = JudgeRequest(train, load_codes(open_artifact(given.trees, "trees")), candidates)
    users, items = candidates.pairs()
    drawn = np.random.default_rng(0).choice(np.unique(users), given.users, replace=False)
    mine = np.isin(users, drawn)
    users, items = users[mine], items[mine]

    compact, full = load_template("compact-1"), load_template("full-1")
    block = {} if given.block_size is None else {"block_size": given.block_size}
    engine = VLLMEngine(
        given.model,
        labels=compact.labels,
        dtype=given.dtype,
        max_model_len=4096,
        gpu_memory_utilization=0.3,
        enforce_eager=True,
        **block,
    )
    engine.check()

    prompts = PromptMaker(request, compact).prompts(users, items)
    engine.llm.reset_prefix_cache()
    begin = time.perf_counter()
    answers = [one for _, one in engine.ask(prompts)]
    ours = len(prompts) / (time.perf_counter() - begin)
    good = [one for one in answers if isinstance(one, Answer)]
    read = sum(one.prompt_tokens for one in good)
    computed = read - sum(one.cached_tokens or 0 for one in good)
    print(
        f"labels' log-probabilities: {ours:.2f} pairs/s; {len(prompts)} pairs of {given.users} users, "
        f"{len(good)} answered, {read / len(good):.0f} tokens a prompt, {computed / len(good):.1f} computed"
    )

    some = np.unique(np.linspace(0, len(users) - 1, given.free).astype(np.int64))
    asked = [
        [{"role": "system", "content": one.system}, {"role": "user", "content": one.user}]
        for one in PromptMaker(request, full).prompts(users[some], items[some])
    ]
    engine.llm.reset_prefix_cache()
    begin = time.perf_counter()
    outputs = engine.llm.chat(asked, vllm.SamplingParams(temperature=0.0, max_tokens=256), use_tqdm=False)
    free = len(asked) / (time.perf_counter() - begin)
    tokens = np.mean([len(one.prompt_token_ids) for one in outputs])
    written = np.mean([len(one.outputs[0].token_ids) for one in outputs])
    print(
        f"free-form JSON: {free:.3f} pairs/s; {len(asked)} pairs, {tokens:.0f} tokens a prompt, "
        f"{written:.0f} written"
    )
    print(f"ratio: {ours / free:.1f}")
    engine.close()


if __name__ == "__main__":
    main()
