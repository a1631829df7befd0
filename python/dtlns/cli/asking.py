"""What `dtlns judge` does ahead of judging: show a prompt, say what asking costs, ask for a part."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from dtlns.artifacts import Artifact
from dtlns.cli import options
from dtlns.judges.base import Judge
from dtlns.judges.llm.job import duration
from dtlns.judges.llm.judge import LLMJudge
from dtlns.stages.asking import Shard, calibration_request, estimate, final_request, show


def look_ahead(
    judge: Judge,
    candidates: Artifact,
    trees: Artifact,
    hidden: Artifact | None,
    *,
    show: int | None,
    shard: str | None,
    users: int | None,
    dry_run: bool,
    price: float | None,
    as_json: bool,
) -> None:
    """Do what --show, --dry-run or --shard asks for."""
    if not isinstance(judge, LLMJudge):
        raise click.UsageError(f"--show, --dry-run and --shard are for the judge llm, not {judge.name}")
    requests = [final_request(candidates, trees)]
    if hidden is not None:
        requests.append(calibration_request(candidates, trees, hidden, users))
    if show is not None:
        _show(judge, requests[-1], show, as_json)
        return
    part = Shard.parse(shard or "0/1")
    if dry_run:
        with closing(judge):
            found = [estimate(judge, request, part, price) for request in requests]
        total = {name: sum(one[name] or 0 for one in found) for name in found[0]}
        total["price"] = total["price"] if price is not None else None
        options.emit(total, as_json, lambda: _estimated(total))
        return
    with closing(judge):
        for request in requests:
            mine = part.rows(request.candidates.pairs()[0])
            judge.answers(request, mine & judge.asked(request))
    cost = judge.cost.to_json()
    options.emit(cost, as_json, lambda: _asked(cost))


def _show(judge: LLMJudge, request: Any, user: int, as_json: bool) -> None:
    prompt = show(judge, request, user)
    text = f"--- system\n{prompt.system}\n--- user\n{prompt.user}"
    options.emit({"system": prompt.system, "user": prompt.user}, as_json, lambda: text)


def _estimated(total: dict[str, Any]) -> str:
    lines = [
        f"{total['pairs']} of {total['candidates']} candidates; of their different prompts "
        f"{total['known']} were answered before, "
        f"{total['to_ask']} are to ask",
        f"about {total['prompt_tokens']:,} prompt tokens (counted on {total['counted_prompts']} prompts)",
        f"about {total['computed_tokens']:,} of them computed, in {duration(total['seconds'])}, as with "
        f"{total['asked_now']} prompts asked now, whose answers are kept",
    ]
    if total["price"] is not None:
        lines.append(f"price of the prompt tokens: {total['price']:.2f}")
    return "\n".join(lines)


def _asked(cost: dict[str, Any]) -> str:
    rate = "" if cost["pairs_per_second"] is None else f", {cost['pairs_per_second']:.1f} pairs/s"
    return (
        f"{cost['pairs']} pairs: {cost['asked']} prompts asked in {duration(cost['seconds'])}{rate}, "
        "the others known or the same; "
        f"{cost['prompt_tokens']:,} prompt tokens, {cost['computed_tokens']:,} computed"
    )
