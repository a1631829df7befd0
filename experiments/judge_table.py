"""What a language model's scores are worth beside the prefix rule and controls, on the same pairs.

Pairs: all candidates of some users, drawn among those who have a hidden positive among theirs, in the
pipeline that was rebuilt without the hidden positives. So the share of positives is higher than in a
catalogue at large, and AUC within users is the number to read. Training data only.

    python experiments/judge_table.py CANDIDATES TREES HIDDEN MODEL [--users 60] [--answers DIR]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from dtlns.artifacts import open_artifact
from dtlns.judges.base import JudgeRequest
from dtlns.judges.calibration import fit_calibration
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.quality import measure
from dtlns.stages.calibration import rebuild_codes
from dtlns.stages.hidden import search


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("candidates", "trees", "hidden"):
        parser.add_argument(name, type=Path)
    parser.add_argument("model")
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--answers", type=Path)
    given = parser.parse_args()
    candidates, trees, hidden = (
        open_artifact(getattr(given, kind), kind) for kind in ("candidates", "trees", "hidden")
    )
    there = search(candidates, hidden)
    codes = rebuild_codes(trees, there.visible, there.scorer)
    request = JudgeRequest(there.visible, codes, there.candidates)
    users, _ = there.candidates.pairs()
    some = np.random.default_rng(0).permutation(np.unique(users[there.found]))[: given.users]
    rows = np.isin(users, some)
    mine, truth = users[rows], there.found[rows]
    print(f"{len(truth)} pairs of {len(some)} users, {truth.sum()} of them hidden positives")
    print(f"{'judge':28} {'positive':>9} {'AUC':>7} {'within':>7} {'ECE':>7} {'tokens':>7} {'pairs/s':>8}")

    def line(name: str, scores: np.ndarray, positive: float | None, cost: tuple[float, float] | None) -> None:
        fit = fit_calibration([name], scores[:, None].astype(np.float32), truth, mine, there.visible.n_users)
        raw, unseen = measure(scores, truth, mine), measure(fit.out_of_fold, truth, mine)
        share = "" if positive is None else f"{positive:9.1%}"
        rest = "" if cost is None else f"{cost[0]:7.1f} {cost[1]:8.1f}"
        print(
            f"{name:28} {share:>9} {raw['auc']:7.3f} {raw['auc_within_users']:7.3f} "
            f"{unseen['calibration_error']:7.4f} {rest}",
            flush=True,
        )

    line("random", np.random.default_rng(1).random(len(truth)), None, None)
    line("rank of the pretrained model", -there.candidates.ranks()[rows].astype(float), None, None)
    line("prefix rule", PrefixJudge().score(request)[rows].sum(axis=1), None, None)
    options = {"engine": given.engine, "model": given.model, "answers": given.answers}
    if given.engine == "vllm":
        options["engine_options"] = {
            "enforce_eager": True,
            "gpu_memory_utilization": 0.15,
            "max_model_len": 2048,
        }
    judge = LLMJudge(**options)
    shuffled = {name: view.shuffled(seed=7) for name, view in codes.items()}
    for name, shown in (("llm", codes), ("llm, shuffled codes", shuffled)):
        before = replace(judge.cost)
        answers = judge.answers(replace(request, codes=shown), rows)
        odds = np.array([answer.log_odds for answer in answers])
        asked, seconds = judge.cost.asked - before.asked, judge.cost.seconds - before.seconds
        tokens = judge.cost.computed_tokens - before.computed_tokens
        cost = (tokens / len(truth), asked / seconds) if asked else None
        line(name, odds, float((odds > 0).mean()), cost)
    judge.close()


if __name__ == "__main__":
    main()
