"""What a judged pair costs in prompt tokens, and what shorter prompts lose: ours beside the published way.

python benches/python/prompt_tokens.py DATASET TREES CANDIDATES MODEL [--users 2000] [--budget 1024]

Tokens are those of MODEL's tokenizer and chat template (a folder or a name that transformers reads). A prefix
cache is taken to hold the prompt before, in whole blocks of 16 tokens, and never a prompt's last token, as
vLLM's does; more of it would only help. The published way asks with one prompt a pair and the whole history
in it; its tokens count in full, cache hits not taken off, and beside it stands what a cache would leave of
them. The prompts are `full-1`: their lines are shorter than the published ones, which are JSON with item ids.
The reader applies the prefix rule to the text of the prompts; its AUC is for validation pairs among the
candidates, which are read for this measurement alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dtlns.artifacts import open_artifact
from dtlns.data.dataset import load_dataset
from dtlns.judges.base import JudgeRequest
from dtlns.judges.hiding import is_member
from dtlns.judges.llm.base import Prompt
from dtlns.judges.llm.prompts import PromptMaker, load_template
from dtlns.judges.llm.reader import read
from dtlns.stages.candidates import load_candidates
from dtlns.stages.trees import load_codes

BLOCK = 16


def token_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Return the tokens of each prompt, chat template included."""
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for prompt in prompts
    ]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def computed(ids: Sequence[Sequence[int]]) -> int:
    """Return the tokens that are computed when each prompt finds the one before in the cache."""
    total = len(ids[0])
    for before, now in pairwise(ids):
        reach = min(len(before), len(now) - 1)
        shared = next((at for at in range(reach) if before[at] != now[at]), reach)
        total += len(now) - shared // BLOCK * BLOCK
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("dataset", "trees", "candidates"):
        parser.add_argument(name, type=Path)
    parser.add_argument("model")
    parser.add_argument("--users", type=int, default=2_000, help="users drawn; their pairs are measured")
    parser.add_argument("--budget", type=int, default=1_024, help="tokens that a history may take in ours")
    given = parser.parse_args()

    candidates, train = load_candidates(open_artifact(given.candidates, "candidates"))
    request = JudgeRequest(train, load_codes(open_artifact(given.trees, "trees")), candidates)
    valid = load_dataset(given.dataset).valid
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    chosen = np.zeros(train.n_users, dtype=np.bool_)
    chosen[np.random.default_rng(0).permutation(train.n_users)[: given.users]] = True
    users, items = candidates.pairs()
    users, items = users[chosen[users]], items[chosen[users]]
    liked = is_member(valid.indptr, valid.indices, users, items)
    print(
        f"{len(np.unique(users)):,} users, {len(users):,} pairs, {int(liked.sum()):,} of them in validation"
    )

    pairs_of_users = np.flatnonzero(np.diff(users, prepend=-1))
    readings, scores, tokens, cached = {}, {}, {}, {}
    for name, budget in (("full-1", None), ("compact-1", given.budget)):
        maker = PromptMaker(request, load_template(name), budget=budget)
        begin = time.perf_counter()
        prompts = maker.prompts(users, items)
        seconds = time.perf_counter() - begin
        ids = token_ids(tokenizer, prompts)
        tokens[name] = sum(map(len, ids)) / len(ids)
        cached[name] = computed(ids) / len(ids)
        scores[name] = roc_auc_score(liked, [read(prompt).score() for prompt in prompts])
        readings[name] = [set(read(prompts[at]).history) for at in pairs_of_users]
        print(
            f"{name}: {tokens[name]:.1f} tokens a prompt, {cached[name]:.1f} computed with the cache; ",
            end="",
        )
        print(f"reader's AUC {scores[name]:.4f}; made at {len(prompts) / seconds:,.0f} prompts/s")
    whole = np.mean(
        [ours >= all_ for ours, all_ in zip(readings["compact-1"], readings["full-1"], strict=True)]
    )
    print(f"computed by ours / tokens of the published way: {cached['compact-1'] / tokens['full-1']:.4f}")
    print(f"with a prefix cache for the published way too: {cached['compact-1'] / cached['full-1']:.4f}")
    print(f"AUC of ours less that of full prompts: {scores['compact-1'] - scores['full-1']:+.4f}")
    print(f"users all of whose distinct codes are in the prompt: {whole:.2%}")


if __name__ == "__main__":
    main()
