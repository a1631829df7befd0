"""The judge `llm` on the command line, with recorded answers in the place of a language model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from run_command import expect

from dtlns.artifacts import open_artifact
from dtlns.config import JudgeConfig, RunConfig, TreesConfig
from dtlns.data.dataset import load_dataset
from dtlns.judges.llm.base import Answer, Prompt
from dtlns.judges.llm.engines.replay import record
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.llm.reader import read
from dtlns.stages.asking import calibration_request, final_request
from dtlns.stages.upstream import Upstream


class Reader:
    """An engine that reads a prompt as the rule says, and nothing but the prompt."""

    def __init__(self, version: int = 1) -> None:
        self.identity: dict[str, Any] = {"engine": "reader", "version": version}

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(prompt.system + prompt.user) for prompt in prompts]

    def ask(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer]]:
        for at, (prompt, count) in enumerate(zip(prompts, self.count_tokens(prompts), strict=True)):
            yield at, Answer(float(read(prompt).score()), True, count, None)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Made:
    candidates: Path
    trees: Path
    hidden: Path
    recorded: Path
    other: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    at = tmp_path_factory.mktemp("llm")
    made = Made(*(at / name for name in ("candidates", "trees", "hidden", "answers.parquet", "other.jsonl")))
    small = ["--users", 100, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
    for words in (
        ["data", "planted", "-o", at / "data", *small],
        ["pretrain", at / "data", "-o", at / "pretrained", "--epochs", 2],
        ["build-trees", at / "data", "-o", made.trees, "--pretrained", at / "pretrained"],
        ["candidates", at / "data", "-o", made.candidates, "--pretrained", at / "pretrained", "-m", 20],
        [
            "calibrate",
            made.candidates,
            "-o",
            at / "cal",
            "--trees",
            made.trees,
            "--share",
            0.3,
            "--hidden",
            made.hidden,
        ],
    ):
        expect(*words)
    candidates, trees = open_artifact(made.candidates, "candidates"), open_artifact(made.trees, "trees")
    judge = LLMJudge(engine="replay", model=str(made.recorded))
    prompts = [
        prompt
        for request in (
            final_request(candidates, trees),
            calibration_request(candidates, trees, open_artifact(made.hidden, "hidden")),
        )
        for prompt in judge.prompts(request)
    ]
    assert record(Reader(), prompts, made.recorded) == []
    assert record(Reader(version=2), prompts, made.other) == []
    return made


def options(made: Made, answers: Path, recorded: Path | None = None) -> list[object]:
    values = ["engine=replay", f"model={recorded or made.recorded}", f"answers={answers}"]
    return [word for value in values for word in ("--judge-option", value)]


def test_a_prompt_is_shown_and_the_cost_is_told_before_anything_is_asked(made: Made, tmp_path: Path) -> None:
    words = ["judge", made.candidates, "--trees", made.trees, *options(made, tmp_path / "answers")]
    shown, _ = expect(*words, "--show", 3)
    assert "--- user" in shown
    assert "Candidate: " in shown
    found = json.loads(expect(*words, "--dry-run", "--price", 2, "--json")[0])
    assert found["pairs"] == 100 * 20
    assert found["known"] == 0
    assert 0 < found["to_ask"] <= found["pairs"]
    assert found["computed_tokens"] == pytest.approx(found["prompt_tokens"], rel=0.1)  # it has no cache
    assert found["price"] == pytest.approx(2e-6 * found["prompt_tokens"], rel=1e-3)
    # what was asked for the time is kept, and no more than a twentieth, or one round
    assert 0 < found["asked_now"] <= max(16, found["to_ask"] // 20)
    assert found["seconds"] > 0
    again = json.loads(expect(*words, "--dry-run", "--json")[0])
    assert again["known"] == found["asked_now"]
    assert again["to_ask"] == found["to_ask"] - found["asked_now"]
    assert "answers are kept" in expect(*words, "--dry-run")[0]


def test_shards_ask_each_pair_once_and_judging_finds_their_answers(made: Made, tmp_path: Path) -> None:
    llm = ["--trees", made.trees, *options(made, tmp_path / "answers")]
    asked = [
        json.loads(
            expect("judge", made.candidates, *llm, "--hidden", made.hidden, "--shard", part, "--json")[0]
        )
        for part in ("0/3", "1/3", "2/3")
    ]
    assert sum(one["pairs"] for one in asked) == 2 * 100 * 20
    out = tmp_path / "judged"
    calibrated = tmp_path / "calibration"
    words = [made.candidates, *llm, "--hidden", made.hidden]
    expect("calibrate", *words, "-o", calibrated, "--share", 0.3, "--judge", "llm")
    _, said = expect("judge", *words, "-o", out, "--calibration", calibrated)
    assert "asking" not in said

    table = pl.read_parquet(out / "judged.parquet")
    judge = LLMJudge(engine="replay", model=str(made.recorded))
    request = final_request(open_artifact(made.candidates, "candidates"), open_artifact(made.trees, "trees"))
    assert table["score_llm"].to_list() == [float(read(one).score()) for one in judge.prompts(request)]
    assert json.loads((out / "summary.json").read_bytes())["engine"] == Reader().identity
    config = open_artifact(out, "judged").config
    assert config["judge"] == "llm"
    assert len(config["judge_options"]["template_sha256"]) == 64


def test_calibrating_on_some_users_asks_about_them_alone(made: Made, tmp_path: Path) -> None:
    llm = [made.candidates, "--trees", made.trees, *options(made, tmp_path / "answers")]
    about = ["--hidden", made.hidden, "--users", 40]
    told = [
        json.loads(expect("judge", *llm, *words, "--dry-run", "--json")[0])["pairs"] for words in ([], about)
    ]
    assert told == [100 * 20, 100 * 20 + 40 * 20]
    calibrated, out = tmp_path / "calibration", tmp_path / "judged"
    words = [*llm, *about, "-o", calibrated, "--share", 0.3, "--judge", "llm"]
    said, _ = expect("calibrate", *words)
    assert "among 800 candidates of 40 users" in said
    expect("judge", *llm, "-o", out, "--calibration", calibrated)
    table = pl.read_parquet(out / "judged.parquet")
    asked = pl.read_parquet(calibrated / "out_of_fold.parquet")["user"].unique()
    assert len(asked) == 40
    # who was not asked about has the chance of the fit on those who were: it has not seen him
    others = table.filter(~pl.col("user").is_in(asked.implode()))
    assert len(others) == 60 * 20
    assert others["p_unseen"].to_list() == others["p_hidden"].to_list()
    mine = table.filter(pl.col("user").is_in(asked.implode()))
    assert mine["p_unseen"].to_list() != mine["p_hidden"].to_list()
    assert open_artifact(calibrated, "calibration").config["users"] == 40


def test_too_few_users_are_told_before_anything_is_asked(made: Made, tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    words = [made.candidates, "--trees", made.trees, *options(made, answers), "--hidden", made.hidden]
    few = ["calibrate", *words, "-o", tmp_path / "out", "--share", 0.3, "--judge", "llm", "--users"]
    _, err = expect(*few, 2, code=1)
    assert "of 40 candidates of 2 users are hidden positives, too few" in err
    assert "calibrate on more users" in err
    assert not answers.exists()
    _, err = expect(*few, 101, code=2)
    assert "calibrating on 101 users, of 100\n  allowed: 1 to 100" in err
    _, err = expect("judge", *words[:-2], "--users", 3, "--dry-run", code=2)
    assert "--users is for calibrating" in err


def test_outside_its_band_the_model_is_not_asked_and_the_prefix_judge_decides(
    made: Made, tmp_path: Path
) -> None:
    band = ["--judge-option", "band=[2.5, 5.5]"]
    llm = ["--trees", made.trees, *options(made, tmp_path / "answers"), *band]
    words = [made.candidates, *llm, "--hidden", made.hidden]
    told = json.loads(expect("judge", *words, "--dry-run", "--json")[0])
    assert 0 < told["pairs"] < told["candidates"] == 2 * 100 * 20
    calibrated, out = tmp_path / "calibration", tmp_path / "judged"
    said, _ = expect("calibrate", *words, "-o", calibrated, "--share", 0.3, "--judge", "llm")
    assert "the judge looked at" in said
    expect("judge", made.candidates, *llm, "-o", out, "--calibration", calibrated)

    table = pl.read_parquet(out / "judged.parquet")
    bits = (table["score_structural"] + table["score_semantic"]).to_numpy()
    looked = table["score_llm"].is_not_null().to_numpy()
    assert (looked == ((bits >= 2.5) & (bits <= 5.5))).all()
    assert table["p_hidden"].is_finite().all()
    # outside it is what the prefix judge says, calibrated on the same positives
    prefix, by_rule = tmp_path / "prefix", tmp_path / "by-rule"
    expect("calibrate", *words[:3], "--hidden", made.hidden, "-o", prefix, "--share", 0.3)
    expect("judge", *words[:3], "-o", by_rule, "--calibration", prefix)
    rule = pl.read_parquet(by_rule / "judged.parquet")
    for chance in ("p_hidden", "p_unseen"):
        same = (table[chance] == rule[chance]).to_numpy()
        assert same[~looked].all()
        assert not same[looked].all()
    measured = json.loads((calibrated / "measured.json").read_bytes())
    parts = [measured[name]["pairs"] for name in ("looked_at", "not_looked_at")]
    assert sum(parts) == measured["pairs"] == 100 * 20


def test_other_answers_than_the_calibrations_are_refused(made: Made, tmp_path: Path) -> None:
    llm = [made.candidates, "--trees", made.trees]
    fitted = tmp_path / "calibration"
    by = [*options(made, tmp_path / "answers"), "--judge", "llm", "--hidden", made.hidden, "--share", 0.3]
    expect("calibrate", *llm, "-o", fitted, *by)
    judge = ["judge", *llm, "-o", tmp_path / "judged", "--calibration", fitted]
    _, err = expect(*judge, *options(made, tmp_path / "answers", made.other), code=2)
    assert "the judge's model is" in err
    _, err = expect(*judge, *options(made, tmp_path / "answers"), "--judge-option", "budget=500", code=2)
    assert "the judge's budget is 500" in err
    assert not (tmp_path / "judged").exists()


def test_answers_that_are_not_there_are_told_and_no_label_is_made_up(made: Made, tmp_path: Path) -> None:
    words = ["judge", made.candidates, "--trees", made.trees, *options(made, tmp_path / "answers")]
    _, err = expect(*words, "--judge-option", "order=random", "--shard", "0/1", code=1)
    assert "prompts have no answer" in err
    assert "run the same command again" in err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("engine=telepathy", "engine"),
        ("endpoints=['http://x']", "endpoints go with engine = 'server'"),
        ("template=none.txt", "the template 'none.txt' cannot be read"),
        ("temperature=1", "no option 'temperature'"),
        ("band=[3, 1]", "band = [LOW, HIGH] with LOW below HIGH"),
        ("band=[0, inf]", "band"),
    ],
)
def test_wrong_options_are_refused(made: Made, tmp_path: Path, option: str, message: str) -> None:
    given = {"engine": "engine=replay", "model": "model=x"} | {option.partition("=")[0]: option}
    words = [word for text in given.values() for word in ("--judge-option", text)]
    _, err = expect("judge", made.candidates, "--trees", made.trees, "--show", 0, *words, code=2)
    assert message in err


def test_an_engine_that_cannot_start_is_told_before_any_training(made: Made, tmp_path: Path) -> None:
    given = ["--judge-option", "engine=replay", "--judge-option", f"model={tmp_path / 'none.jsonl'}"]
    for command in ("judge", "calibrate"):
        words = [command, made.candidates, "--trees", made.trees, "--judge", "llm", "-o", tmp_path / "out"]
        _, err = expect(*words, *given, code=1)
        assert "none.jsonl holds no recorded answers" in err
        assert list(tmp_path.iterdir()) == []


def test_a_run_starts_its_judge_before_it_trains_anything(made: Made, tmp_path: Path) -> None:
    settings, out = tmp_path / "run.toml", tmp_path / "run"
    judge = f'name = "llm"\n[judge.options]\nengine = "replay"\nmodel = "{tmp_path / "none.jsonl"}"'
    settings.write_text(f'data = "{made.candidates.parent / "data"}"\n[judge]\n{judge}\n')
    _, err = expect("run", settings, "-o", out, code=1)
    assert "none.jsonl holds no recorded answers" in err
    assert not (out / "pretrained").exists()


def test_one_judge_serves_calibration_and_judging_and_is_freed_then(made: Made, tmp_path: Path) -> None:
    class Closing(LLMJudge):
        closed = 0

        def close(self) -> None:
            Closing.closed += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dtlns.judges.registry.load_plugin", lambda group, name: Closing)
        upstream = Upstream(tmp_path, load_dataset(made.candidates.parent / "data"), RunConfig(data="-"))
        config = JudgeConfig(name="llm", options={"engine": "replay", "model": str(made.recorded)})
        judge = upstream.judge(config)
        upstream.prepare(TreesConfig(), config)
        assert upstream.judge(JudgeConfig.model_validate(config.model_dump())) is judge
        assert Closing.closed == 0
        upstream.close()
        assert Closing.closed == 1
        assert upstream.judge(config) is not judge
