"""What a language model's scores are worth beside the prefix rule and controls, and what they add to them.

Pairs: all candidates of some users, drawn among those who have a hidden positive among theirs, in the
pipeline that was rebuilt without the hidden positives. So the share of positives is higher than in a
catalogue at large, and AUC within users is the number to read. Training data only.

What is added: scores joined by a logistic regression on these pairs, for each of five folds of users by a fit
on the others, of weights of either sign. The false-negative model is boosting on its groups of features but
the judge's, fitted on all its candidates of all users, in the same folds; its logit is one score.

After ± stands a standard error, from 1,000 bootstrap samples of the users; nothing is fitted anew in them.
Cost: different prompts that were asked, tokens computed for each, and prompts a second; what is known from
before is not asked. For the prefix rule and the false-negative model, pairs and pairs a second.

    python experiments/judge_table.py CANDIDATES TREES HIDDEN [--users 200] --judge-option NAME=VALUE ...

The options are those of `dtlns judge --judge llm`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dtlns import PathCodes
from dtlns.artifacts import Artifact, open_artifact
from dtlns.cli.options import judge_from
from dtlns.false_negative_model.classifier import fit_classifier
from dtlns.false_negative_model.features import GROUPS, LEAST, World, make_features
from dtlns.false_negative_model.sources import choose_shrinkage, find_candidates
from dtlns.judges.base import JudgeRequest
from dtlns.judges.calibration import fit_calibration, folds_of_users
from dtlns.judges.hiding import is_member
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.quality import measure
from dtlns.models.itemknn import ItemKNN
from dtlns.stages.calibration import rebuild_codes
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import Search, load_hidden, search

SAMPLES = 1_000
TOLD = ("AUC", "within users", "AP")


def resampled(scores: np.ndarray, truth: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Return [1 + SAMPLES, 3]: AUC over all pairs, AUC within users, average precision.

    The first row is of the users as they are, the others of users drawn with replacement.
    """
    _, user = np.unique(users, return_inverse=True)
    n = user.max() + 1
    within = np.array([roc_auc_score(truth[user == one], scores[user == one]) for one in range(n)])
    hits, sizes = np.bincount(user, weights=truth), np.bincount(user)
    compared = hits * (sizes - hits)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=SAMPLES)
    draws = np.concatenate([np.ones((1, n), dtype=draws.dtype), draws])
    values = [
        (
            roc_auc_score(truth, scores, sample_weight=draw[user]),
            draw @ (within * compared) / (draw @ compared),
            average_precision_score(truth, scores, sample_weight=draw[user]),
        )
        for draw in draws
    ]
    return np.array(values)


def joined(scores: list[np.ndarray], truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return each pair's logit from a logistic regression that has not seen its user, float64 [N]."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    table = np.column_stack(scores)
    return cross_val_predict(model, table, truth, cv=PredefinedSplit(fold), method="decision_function")


def found_by_model(
    candidates: Artifact, hidden: Artifact, there: Search, codes: Mapping[str, PathCodes]
) -> tuple[np.ndarray, int, float]:
    """Return the false-negative model's logit of `there.candidates.pairs()`, its own pairs, and seconds."""
    began = time.perf_counter()
    _, train = load_candidates(candidates)
    held = train.keep(load_hidden(hidden)[0])
    graph = ItemKNN.fit(there.visible, shrinkage=choose_shrinkage(there.visible, held))
    sourced = find_candidates(there.scorer, graph, there.visible)
    world = World(there.visible, there.scorer, graph, codes, sourced)
    _, features = make_features(world, [group for group in GROUPS if group != "judge"])
    users, items = sourced.candidates.pairs()
    labels = is_member(held.indptr, held.indices, users, items)
    fitted = fit_classifier("boosting", features, labels, users, train.n_users)
    seconds = time.perf_counter() - began
    # The best candidates of the pretrained model are among those of all sources.
    keys = users * train.n_items + items
    wanted_users, wanted_items = there.candidates.pairs()
    order = np.argsort(keys)
    at = order[np.searchsorted(keys, wanted_users * train.n_items + wanted_items, sorter=order)]
    assert (users[at] == wanted_users).all()
    assert (items[at] == wanted_items).all()
    chances = fitted.calibration.out_of_fold[at].astype(np.float64)
    return logit(np.clip(chances, LEAST, 1 - LEAST)), len(users), seconds


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
    heads = " ".join(f"{told:>14}" for told in TOLD)
    print(
        f"{'':42} {'positive':>8} {heads} {'ECE':>7} {'raw ECE':>8} "
        f"{'asked':>7} {'tokens':>7} {'a second':>9}"
    )
    samples: dict[str, np.ndarray] = {}

    def line(name: str, scores: np.ndarray, cost: str = "", *, labels: bool = False) -> None:
        fit = fit_calibration([name], scores[:, None].astype(np.float32), truth, mine, there.visible.n_users)
        unseen = measure(fit.out_of_fold, truth, mine)["calibration_error"]
        share = f"{(scores > 0).mean():.1%}" if labels else ""
        # a language model's own probability, as it comes
        own = f"{measure(expit(scores), truth, mine)['calibration_error']:.4f}" if labels else ""
        samples[name] = found = resampled(scores, truth, mine)
        values = " ".join(f"{v:6.3f} ± {e:.3f}" for v, e in zip(found[0], found[1:].std(axis=0), strict=True))
        print(f"{name:42} {share:>8} {values} {unseen:7.4f} {own:>8} {cost}", flush=True)

    line("random scores", np.random.default_rng(1).random(len(truth)))
    line("rank of the pretrained model", -there.candidates.ranks()[rows].astype(float))
    began = time.perf_counter()
    bits = PrefixJudge().score(request)
    seconds = time.perf_counter() - began
    line("prefix rule", bits[rows].sum(axis=1), f"{len(bits):7} {'':7} {len(bits) / seconds:9.0f}")
    shuffled = {name: view.shuffled(seed=7) for name, view in codes.items()}
    odds = {}
    for name, shown in (("llm", codes), ("llm, shuffled codes", shuffled)):
        before = replace(judge.cost)
        answers = judge.answers(replace(request, codes=shown), rows)
        odds[name] = np.array([answer.log_odds for answer in answers])
        asked, seconds = judge.cost.asked - before.asked, judge.cost.seconds - before.seconds
        tokens = judge.cost.computed_tokens - before.computed_tokens
        cost = f"{asked:7} {tokens / asked:7.1f} {asked / seconds:9.1f}" if asked else "known before"
        line(name, odds[name], cost, labels=True)
    judge.close()

    fold = folds_of_users(there.visible.n_users, 0)[mine]
    logits, pairs, seconds = found_by_model(candidates, hidden, there, codes)
    for base, scores, cost in (
        ("prefixes", list(bits[rows].T), ""),
        ("false-negative model", [logits[rows]], f"{pairs:7} {'':7} {pairs / seconds:9.0f}"),
    ):
        line(base, joined(scores, truth, fold), cost)
        for name, added in odds.items():
            line(f"{base} + {name}", joined([*scores, added], truth, fold))

    print(f"{'difference':74} {heads}")
    for one, other in (
        ("llm", "llm, shuffled codes"),
        ("llm", "prefix rule"),
        *(
            (f"{base} + llm", f"{base}{control}")
            for base in ("prefixes", "false-negative model")
            for control in ("", " + llm, shuffled codes")
        ),
    ):
        gap = samples[one] - samples[other]
        values = " ".join(f"{v:+.3f} ± {e:.3f}" for v, e in zip(gap[0], gap[1:].std(axis=0), strict=True))
        print(f"{one + ' - ' + other:74} {values}")


if __name__ == "__main__":
    main()
