"""What a language model's scores are worth beside the prefix rule and controls, on the same pairs.

Pairs: all candidates of some users, drawn among those who have a hidden positive among theirs, in the
pipeline that was rebuilt without the hidden positives. So the share of positives is higher than in a
catalogue at large, and AUC within users is the number to read. Training data only. After ± stands a standard
error, from 1,000 bootstrap samples of the users. Cost: different prompts that were asked, tokens computed for
each, and prompts a second; what is known from before is not asked.

    python experiments/judge_table.py CANDIDATES TREES HIDDEN [--users 200] --judge-option NAME=VALUE ...

The options are those of `dtlns judge --judge llm`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from dtlns.artifacts import open_artifact
from dtlns.cli.options import judge_from
from dtlns.judges.base import JudgeRequest
from dtlns.judges.calibration import fit_calibration
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.quality import measure
from dtlns.stages.calibration import rebuild_codes
from dtlns.stages.hidden import search

SAMPLES = 1_000


def resampled(scores: np.ndarray, truth: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Return [SAMPLES, 2]: AUC over all pairs and within users, of users drawn with replacement."""
    _, user = np.unique(users, return_inverse=True)
    n = user.max() + 1
    within = np.array([roc_auc_score(truth[user == one], scores[user == one]) for one in range(n)])
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=SAMPLES)
    pooled = [roc_auc_score(truth, scores, sample_weight=draw[user]) for draw in draws]
    return np.stack([pooled, draws @ within / n], axis=1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("candidates", "trees", "hidden"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--judge-option", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    judge = judge_from("llm", given.judge_option)
    assert isinstance(judge, LLMJudge)
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
    print(
        f"{'judge':28} {'positive':>8} {'AUC':>14} {'within users':>14} {'ECE':>7} {'raw ECE':>8} "
        f"{'asked':>6} {'tokens':>7} {'asked/s':>8}"
    )

    def line(name: str, scores: np.ndarray, told: str = "") -> np.ndarray:
        fit = fit_calibration([name], scores[:, None].astype(np.float32), truth, mine, there.visible.n_users)
        raw, unseen = measure(scores, truth, mine), measure(fit.out_of_fold, truth, mine)
        share = f"{(scores > 0).mean():8.1%}" if told else ""
        # a language model's own probability, as it comes
        own = measure(1 / (1 + np.exp(-scores)), truth, mine)["calibration_error"] if told else None
        samples = resampled(scores, truth, mine)
        pooled, within = samples.std(axis=0)
        print(
            f"{name:28} {share:>8} {raw['auc']:6.3f} ± {pooled:.3f} "
            f"{raw['auc_within_users']:6.3f} ± {within:.3f} "
            f"{unseen['calibration_error']:7.4f} {'' if own is None else f'{own:.4f}':>8} {told}",
            flush=True,
        )
        return samples

    line("random scores", np.random.default_rng(1).random(len(truth)))
    line("rank of the pretrained model", -there.candidates.ranks()[rows].astype(float))
    prefix = line("prefix rule", PrefixJudge().score(request)[rows].sum(axis=1))
    samples = []
    shuffled = {name: view.shuffled(seed=7) for name, view in codes.items()}
    for name, shown in (("llm", codes), ("llm, shuffled codes", shuffled)):
        before = replace(judge.cost)
        answers = judge.answers(replace(request, codes=shown), rows)
        odds = np.array([answer.log_odds for answer in answers])
        asked, seconds = judge.cost.asked - before.asked, judge.cost.seconds - before.seconds
        tokens = judge.cost.computed_tokens - before.computed_tokens
        told = f"{asked:6} {tokens / asked:7.1f} {asked / seconds:8.1f}" if asked else "known before"
        samples.append(line(name, odds, told))
    for name, one, other in (("llm - shuffled", *samples), ("llm - prefix rule", samples[0], prefix)):
        gap = one - other
        (pooled, within), (a, b) = gap.mean(axis=0), gap.std(axis=0)
        print(f"{name:37} {pooled:+6.3f} ± {a:.3f} {within:+6.3f} ± {b:.3f}")
    judge.close()


if __name__ == "__main__":
    main()
