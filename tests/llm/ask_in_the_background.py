"""Ask a real model about a thousand pairs and print nothing; meant to be killed.

python tests/llm/ask_in_the_background.py MODEL ANSWERS
"""

from __future__ import annotations

import sys

from requests_to_judge import random_request
from small_engine import SMALL

from dtlns.judges.llm import answers
from dtlns.judges.llm.judge import LLMJudge

USERS, CANDIDATES = 50, 20


def judge_for(model: str, folder: str) -> LLMJudge:
    """Return the judge; float32, so that batching decides next to nothing."""
    options = SMALL | {"chunk": 16}
    return LLMJudge(engine="vllm", model=model, dtype="float32", answers=folder, engine_options=options)


if __name__ == "__main__":
    answers.SECONDS_PER_PART = 1.0  # so that there is something to lose and something to keep
    judge = judge_for(*sys.argv[1:])
    judge.answers(random_request(USERS, CANDIDATES))
    judge.close()
