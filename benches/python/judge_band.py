"""What a band saves and what it loses: a language model is asked about some pairs, the rule has the others.

python benches/python/judge_band.py CANDIDATES TREES HIDDEN MODEL [--users 500]

The pairs are those of a calibration: candidates of the pipeline rebuilt without the hidden positives. Two
readers stand for the model. `rule` applies the prefix rule to the text of the prompts, and so knows hardly
more than the prefix judge. `other` knows what no prefix says: a normal score that is higher for hidden
positives, of AUC 0.65 by itself and independent of the codes; no real model has read it anywhere. The first
is what a band loses at least, the second what it loses where the model is worth its money. All numbers are of
chances from fits that have not seen the user. Tokens are those of MODEL's tokenizer on the prompts of some
users, with a prefix cache of blocks of 16 tokens, for each candidate, asked or not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from prompt_tokens import computed, token_ids
from scipy.stats import norm
from transformers import AutoTokenizer

from dtlns.artifacts import open_artifact
from dtlns.judges.base import HISTORY
from dtlns.judges.calibration import fit_calibration
from dtlns.judges.llm.lazy import PromptList
from dtlns.judges.llm.prompts import PromptMaker, load_template
from dtlns.judges.llm.reader import read
from dtlns.judges.prefix import PrefixJudge
from dtlns.judges.quality import best_of_each_user, measure
from dtlns.stages.asking import calibration_request
from dtlns.stages.hidden import search

TOP = 5
OTHER_AUC = 0.65
BANDS = [(0, 100), (5, 100), (7, 100), (9, 100), (11, 100), (5, 11), (7, 11), (200, 300)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("candidates", "trees", "hidden"):
        parser.add_argument(name, type=lambda text, kind=name: open_artifact(Path(text), kind))
    parser.add_argument("model")
    parser.add_argument("--users", type=int, default=500, help="users whose tokens are counted")
    given = parser.parse_args()

    request = calibration_request(given.candidates, given.trees, given.hidden)
    found = search(given.candidates, given.hidden).found
    users, items = request.candidates.pairs()
    ranks = request.candidates.ranks()
    prefix = PrefixJudge().score(request)
    history = np.log2(1 + request.train.user_counts[users]).astype(np.float32)
    bits = prefix.sum(axis=1)
    quantiles = ", ".join(f"{q:.0%} {np.quantile(bits, q):.1f}" for q in (0.1, 0.25, 0.5, 0.75, 0.9))
    print(f"{len(users):,} pairs, {int(found.sum()):,} hidden positives; bits: {quantiles}")

    maker = PromptMaker(request, load_template("compact-1"), budget=1024)
    rng = np.random.default_rng(0)
    readers = {
        "rule": [read(prompt).score() for prompt in PromptList(maker.prompts, users, items)],
        "other": rng.normal(size=len(users)) + np.sqrt(2) * norm.ppf(OTHER_AUC) * found,
    }
    counted = np.isin(users, rng.permutation(request.train.n_users)[: given.users])
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    ids = token_ids(tokenizer, maker.prompts(users[counted], items[counted]))

    print("| band | asked | tokens | computed | reader | AUC | within users | AP | precision of 5 |")
    print("|---|---|---|---|---|---|---|---|---|")
    names = [*request.codes, "llm", HISTORY]
    for low, high in BANDS:
        asked = (bits >= low) & (bits <= high)
        mine = [one for one, inside in zip(ids, asked[counted], strict=True) if inside]
        tokens = sum(map(len, mine)) / len(ids), (computed(mine) if mine else 0) / len(ids)
        for reader, score in readers.items():
            llm = np.where(asked, score, np.nan).astype(np.float32)
            columns = [name for name in names if asked.any() or name != "llm"]
            table = np.column_stack([prefix, *([llm] if asked.any() else []), history])
            fit = fit_calibration(
                columns, table, found, users, request.train.n_users, partial={"llm"} & {*columns}
            )
            chance = fit.out_of_fold
            worth = measure(chance, found, users)
            best = best_of_each_user(users, chance, ranks, TOP)
            print(
                f"| {low} to {high} | {asked.mean():.1%} | {tokens[0]:.1f} | {tokens[1]:.1f} | {reader} "
                f"| {worth['auc']:.4f} | {worth['auc_within_users']:.4f} | {worth['average_precision']:.4f} "
                f"| {found[best].mean():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
