"""Prompts: no code of a history is lost on its way into the text, and none of the candidate gets into it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns import PathCodes, TrainView
from dtlns.candidates import Candidates
from dtlns.errors import ConfigError, InputError
from dtlns.judges.base import JudgeRequest
from dtlns.judges.llm.prompts import Order, PromptMaker, load_template
from dtlns.judges.llm.reader import Reading, read
from dtlns.judges.llm.template import parse_template
from dtlns.testing import strategies

WITHOUT_TEXT = ["compact-1", "full-1"]
PATHS = {
    "structural": [(0, 2, 1, 3), (0, 2, 1, 1), (0, 2, 3), (0, 2, 3), (3,), (0, 2, 1, 0)],
    "semantic": [(2, 0, 1, 3), (2, 0, 1, 1), (3, 3), (3, 3), (1, 2), (0,)],
}
HISTORIES = [[0, 1, 2, 3], [4, 2], []]


def _train(histories: list[list[int]], n_items: int) -> TrainView:
    matrix = sp.lil_array((len(histories), n_items))
    for user, items in enumerate(histories):
        matrix[user, items] = 1
    return TrainView.from_csr(matrix.tocsr())


def _request(train: TrainView, codes: Mapping[str, PathCodes]) -> JudgeRequest:
    nobody = Candidates(np.full((train.n_users, 1), -1), np.zeros((train.n_users, 1), np.float32))
    return JudgeRequest(train, codes, nobody)


@pytest.fixture
def request_by_hand() -> JudgeRequest:
    codes = {name: PathCodes.from_paths(paths) for name, paths in PATHS.items()}
    return _request(_train(HISTORIES, 6), codes)


@st.composite
def requests(draw: st.DrawFn) -> JudgeRequest:
    """Any training view, and codes of one to three views for its items."""
    train = draw(strategies.train_views(max_users=4, max_items=8, min_users=1))
    codes = strategies.path_codes(min_items=train.n_items, max_items=train.n_items)
    return _request(train, {f"view {at}": draw(codes) for at in range(draw(st.integers(1, 3)))})


def _codes_of_items(request: JudgeRequest) -> list[tuple[tuple[int, ...], ...]]:
    return list(zip(*(codes.to_paths() for codes in request.codes.values()), strict=True))


def test_a_history_by_hand(request_by_hand: JudgeRequest) -> None:
    maker = PromptMaker(request_by_hand, load_template("compact-1"))
    first, second, nothing = maker.prompts([0, 1, 2], [5, 5, 4])
    assert first.user == ("History of 4 items:\n02: 11/2011 13/2013 3/33x2\nCandidate: 0210/0")
    assert second.user == "History of 2 items:\n-: 023/33 3/12\nCandidate: 0210/0"
    assert nothing.user == "History of 0 items:\n-\nCandidate: 3/12"
    assert "views: structural, semantic." in first.system
    assert "$" not in first.system + first.user


def test_the_full_form_names_every_item(request_by_hand: JudgeRequest) -> None:
    prompt = PromptMaker(request_by_hand, load_template("full-1")).prompts([0], [5])[0]
    assert prompt.user.split("\n") == [
        "History of 4 items:",
        "structural: 0-2-1-1, semantic: 2-0-1-1",
        "structural: 0-2-1-3, semantic: 2-0-1-3",
        "structural: 0-2-3, semantic: 3-3",
        "structural: 0-2-3, semantic: 3-3",
        "Candidate: structural: 0-2-1-0, semantic: 0",
    ]


@settings(deadline=None, max_examples=60)
@given(requests(), st.sampled_from(WITHOUT_TEXT), st.sampled_from(["grouped", "random"]))
def test_the_reader_finds_all_that_went_in(request: JudgeRequest, template: str, order: Order) -> None:
    train = request.train
    maker = PromptMaker(request, load_template(template), order=order, seed=5)
    users, items = (ids.ravel() for ids in np.indices((train.n_users, train.n_items)))
    prompts, codes = maker.prompts(users, items), _codes_of_items(request)
    for user, item, prompt in zip(users.tolist(), items.tolist(), prompts, strict=True):
        history = train.indices[train.indptr[user] : train.indptr[user + 1]].tolist()
        expected = Counter(codes[j] for j in history)
        assert read(prompt) == Reading(expected, codes[item])


@settings(deadline=None, max_examples=60)
@given(requests(), st.sampled_from(WITHOUT_TEXT), st.integers(1, 60), st.integers(0, 3))
def test_a_budget_drops_whole_entries_and_says_so(
    request: JudgeRequest, template: str, budget: int, seed: int
) -> None:
    users = np.arange(request.train.n_users)
    items = np.zeros_like(users)
    cutter = PromptMaker(request, load_template(template), order="random", seed=seed, budget=budget)
    cut = cutter.prompts(users, items)
    whole = PromptMaker(request, load_template(template)).prompts(users, items)
    for short, long in zip(cut, whole, strict=True):
        kept, all_ = read(short).history, read(long).history
        assert all(count <= all_[codes] for codes, count in kept.items())
        lines = short.user.split("\n")[1:-1]
        missing = all_.total() - kept.total()
        if missing:
            assert lines.pop() == f"({missing} more items are not shown)"
        assert len("\n".join(lines)) <= budget
        if template == "compact-1":
            # what is dropped stands for no more items than what is kept
            dropped = [count for codes, count in all_.items() if codes not in kept]
            assert not (kept and dropped) or max(dropped) <= min(kept.values())


def test_a_budget_keeps_as_much_as_fits(request_by_hand: JudgeRequest) -> None:
    template = load_template("compact-1")
    # `02: 11/2011 13/2013 3/33x2` takes 26, without one of the single items 18, and `0: 23/33x2` takes 10
    items_at = {
        budget: read(
            PromptMaker(request_by_hand, template, budget=budget).prompts([0], [5])[0]
        ).history.total()
        for budget in (9, 10, 17, 18, 25, 26)
    }
    assert items_at == {9: 0, 10: 2, 17: 2, 18: 3, 25: 3, 26: 4}


def test_a_users_prompts_are_the_same_up_to_the_candidate(request_by_hand: JudgeRequest) -> None:
    for name in WITHOUT_TEXT:
        for order in ("grouped", "random"):
            maker = PromptMaker(request_by_hand, load_template(name), order=order, seed=1, budget=40)
            prompts = maker.prompts([0] * 6, range(6))
            assert len({prompt.system for prompt in prompts}) == 1
            assert len({prompt.user.rpartition("Candidate: ")[0] for prompt in prompts}) == 1


def test_prompts_depend_on_nothing_but_pair_and_settings() -> None:
    random = np.random.default_rng(0)
    train = TrainView.from_csr(sp.csr_array(random.random((30, 50)) < 0.3))
    paths = random.integers(0, 4, (2, 50, 5)).tolist()
    request = _request(
        train, {name: PathCodes.from_paths(view) for name, view in zip("ab", paths, strict=True)}
    )
    users, items = np.repeat(np.arange(30), 2), np.tile([3, 4], 30)

    def made(order: Order, seed: int) -> list[str]:
        maker = PromptMaker(request, load_template("compact-1"), order=order, seed=seed, budget=150)
        return [prompt.user for prompt in maker.prompts(users, items)]

    again = PromptMaker(request, load_template("compact-1"), order="random", seed=7, budget=150)
    alone = [again.prompts([u], [i])[0].user for u, i in zip(users[::-1], items[::-1], strict=True)]
    assert made("random", 7) == alone[::-1]
    assert made("random", 7) != made("random", 8)
    assert made("random", 7) != made("grouped", 7)


def test_a_random_order_moves_every_entry_anywhere() -> None:
    # of 2,000 users with one history, each entry comes first for a quarter, ± 5 standard errors
    train = _train([[0, 1, 2, 3]] * 2_000, 4)
    request = _request(train, {"only": PathCodes.from_paths([(0,), (1,), (2,), (3,)])})
    maker = PromptMaker(request, load_template("full-1"), order="random", seed=2)
    users = np.arange(2_000)
    first = Counter(prompt.user.split("\n")[1] for prompt in maker.prompts(users, np.zeros_like(users)))
    assert len(first) == 4
    assert all(abs(count - 500) < 5 * np.sqrt(2_000 * 0.25 * 0.75) for count in first.values())


def test_wide_trees_are_written_with_dots() -> None:
    codes = {
        "wide": PathCodes.from_paths([(12, 3), (1, 23), (12,)], 32),
        "narrow": PathCodes.from_paths([(1,)] * 3),
    }
    maker = PromptMaker(_request(_train([[0, 1]], 3), codes), load_template("compact-1"))
    prompt = maker.prompts([0], [2])[0]
    assert prompt.user.endswith("Candidate: .12/1")
    assert set(read(prompt).history) == {((12, 3), (1,)), ((1, 23), (1,))}
    assert "one digit for each level or a dot and a number for each level" in prompt.system


def test_the_score_is_the_longest_prefix_of_each_view() -> None:
    history = Counter({((0, 2, 1), (1, 1)): 1, ((0, 2, 3), (2, 2, 2)): 3})
    assert Reading(history, ((0, 2, 3, 1), (1, 1, 0))).score() == 3 + 2
    assert Reading(history, ((1,), (3,))).score() == 0
    assert Reading(Counter(), ((1,), (3,))).score() == 0


def test_a_template_of_ones_own(tmp_path: Path, request_by_hand: JudgeRequest) -> None:
    text = (
        "# mine\n[system]\n$positive or $negative, for $$1?\n"
        "[user]\nseen ${history}\nlike $candidate ($items)?\n"
        "[left out]\n$left_out gone\n[history]\ngrouped\n[labels]\npositive = yes\nnegative = no\n"
    )
    file = tmp_path / "own.txt"
    file.write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    template = load_template(file, sha256=sha256)
    assert (template.name, template.sha256) == ("own.txt", sha256)
    maker = PromptMaker(request_by_hand, template, budget=9)
    prompt = maker.prompts([0], [4])[0]
    assert prompt.system == "yes or no, for $1?"
    assert prompt.user == "seen 4 gone\nlike 3/12 (4)?"
    assert maker.settings == {
        "template": "own.txt",
        "template_sha256": sha256,
        "order": "grouped",
        "seed": 0,
        "budget": 9,
    }
    with pytest.raises(ConfigError, match=f"SHA-256 {sha256}"):
        load_template(str(file), sha256="0" * 64)


GOOD = {
    "system": "rules",
    "user": "$history $candidate",
    "left out": "$left_out",
    "history": "grouped",
    "labels": "positive = a\nnegative = b",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "of $user"}, r"\[system\] .* the placeholder \$user"),
        ({"system": "the $history"}, r"\[system\] .* the placeholder \$history"),
        ({"user": "$history $candidate 5 $"}, "names no placeholder"),
        ({"user": "$candidate $history"}, r"\$candidate \$history"),
        ({"user": "$history"}, r"has \$history"),
        ({"user": "nothing"}, "neither"),
        ({"user": "$history $candidate $candidate"}, r"\$history \$candidate \$candidate"),
        ({"system": ""}, r"nothing in \[system\]"),
        ({"left out": None}, r"nothing in \[left out\]"),
        ({"more": "x"}, r"\[more\], which is unknown"),
        ({"history": "sideways"}, "'sideways'"),
        ({"labels": "positive = a\nnegative = a"}, r"\[labels\]"),
        ({"labels": "positive = a\nnegative ="}, r"\[labels\]"),
        ({"labels": "positive = a\nnegative = b\nperhaps = c"}, r"\[labels\]"),
    ],
)
def test_what_is_wrong_with_a_template(change: dict[str, str | None], message: str) -> None:
    parts = {name: body for name, body in (GOOD | change).items() if body is not None}
    text = "".join(f"[{name}]\n{body}\n" for name, body in parts.items())
    with pytest.raises(ConfigError, match=message):
        parse_template(text, "bad.txt", "")


def test_a_template_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compact-1"):
        load_template(tmp_path / "absent.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_template(tmp_path / "bytes.txt")
    with pytest.raises(ConfigError, match=r"begins with 'hello'"):
        parse_template("hello\n[system]\n", "x", "")
    with pytest.raises(ConfigError, match="twice"):
        parse_template("[user]\na\n[user]\nb", "x", "")


def test_what_is_wrong_with_a_request(request_by_hand: JudgeRequest) -> None:
    template = load_template("compact-1")
    train = request_by_hand.train
    with pytest.raises(InputError, match="no view"):
        PromptMaker(_request(train, {}), template)
    with pytest.raises(InputError, match="'short' has codes of 1 items"):
        PromptMaker(_request(train, {"short": PathCodes.from_paths([(1,)])}), template)
    for name in ("a\nCandidate", "a: 0", "a, b"):
        with pytest.raises(InputError, match="printable names without colon and comma"):
            PromptMaker(_request(train, {name: request_by_hand.codes["semantic"]}), template)
    with pytest.raises(InputError, match="budget is 0"):
        PromptMaker(request_by_hand, template, budget=0)
    with pytest.raises(InputError, match="order is 'upwards'"):
        PromptMaker(request_by_hand, template, order="upwards")
    maker = PromptMaker(request_by_hand, template)
    with pytest.raises(InputError, match="2 users and 1 items"):
        maker.prompts([0, 1], [0])
    with pytest.raises(InputError, match="users hold 0 to 3"):
        maker.prompts([0, 3], [0, 0])
    assert maker.prompts([], []) == []


def test_making_prompts_is_no_bottleneck() -> None:
    random = np.random.default_rng(1)
    train = TrainView.from_csr(sp.random_array((500, 2_000), density=0.006, rng=random, format="csr") > 0)
    paths = random.integers(0, 4, (2, 2_000, 6)).tolist()
    codes = {name: PathCodes.from_paths(view) for name, view in zip("ab", paths, strict=True)}
    maker = PromptMaker(_request(train, codes), load_template("compact-1"))
    users, items = np.repeat(np.arange(500), 20), random.integers(0, 2_000, 10_000)
    begin = time.process_time()
    maker.prompts(users, items)
    # 20,000 prompts a second of CPU time; a quiet core makes more than 100,000
    assert time.process_time() - begin < 0.5
