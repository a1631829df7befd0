"""Engines that hold the model, on a tiny one made here; labels in a tokenizer; replay."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from dtlns.errors import ConfigError, DataError, InputError
from dtlns.judges.llm.answers import prompt_key
from dtlns.judges.llm.base import Answer, Failure, Labels, Prompt
from dtlns.judges.llm.engines.labels import LabelTokens, Sighting, check_sightings
from dtlns.judges.llm.engines.local import unreadable
from dtlns.judges.llm.engines.replay import ReplayEngine, record
from dtlns.judges.llm.engines.transformers import TransformersEngine
from dtlns.judges.llm.engines.weights import folder_digest
from dtlns.judges.llm.judge import LLMJudge
from dtlns.judges.llm.settings import LLMSettings
from dtlns.judges.llm.start import start_engine

WORDS = ["yes", "no", "maybe", "not", "at", "all", "really", "rules", "history", "candidate", *"0123456789"]
TEMPLATE = (
    "{% for m in messages %}<s> {{ m['role'] }} {{ m['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
YES_NO = Labels("yes", "no")


def save_model(folder: Path, *, template: str | None = TEMPLATE, weights: bool = True) -> Path:
    """Save a random model of two layers, and a tokenizer whose tokens are words."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    kept = ["<unk>", "<s>", "</s>", "system", "user", "assistant", *WORDS, "the", "question"]
    model = tokenizers.models.WordLevel({word: at for at, word in enumerate(kept)}, unk_token="<unk>")
    words = tokenizers.Tokenizer(model)
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    if weights:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = transformers.LlamaConfig(vocab_size=len(kept), max_position_embeddings=64, **sizes)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = transformers.LlamaForCausalLM(config)
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.4)  # so that prompts differ in their answers
            network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def some_prompts() -> list[Prompt]:
    histories = ["history 1 2 3 4 5 6 7 8", "history 9", "history 9 0 1 2 3 3 3"]
    return [
        Prompt("rules", f"{history} candidate {code}")
        for history in histories
        for code in ("1 2", "1", "4 4 4", "9")
    ]


def naive(folder: Path, prompt: Prompt, labels: Sequence[str]) -> float:
    """Score the whole labels by a loop over tokens, each from the whole text anew."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = f"<s> system {prompt.system} </s> <s> user {prompt.user} </s> <s> assistant "
    totals = []
    for label in labels:
        ids, total = tokenizer(text, add_special_tokens=False)["input_ids"], 0.0
        for token in tokenizer(label, add_special_tokens=False)["input_ids"]:
            with torch.no_grad():
                logits = network(torch.tensor([ids])).logits[0, -1].double()
            total += (logits[token] - logits.logsumexp(0)).item()
            ids = [*ids, token]
        totals.append(total)
    return totals[0] - totals[1]


@pytest.mark.parametrize("labels", [Labels("yes", "no"), Labels("not at all", "not really")])
@pytest.mark.parametrize("cache", [True, False])
def test_log_odds_are_those_of_a_naive_loop(folder: Path, labels: Labels, cache: bool) -> None:
    engine = TransformersEngine(str(folder), labels=labels, dtype="float32", batch_size=3, prefix_cache=cache)
    prompts = some_prompts()
    answers = dict(engine.ask(prompts))
    assert sorted(answers) == list(range(len(prompts)))
    for at, prompt in enumerate(prompts):
        one = answers[at]
        assert isinstance(one, Answer)
        assert one.scored
        assert one.log_odds == pytest.approx(
            naive(folder, prompt, [labels.positive, labels.negative]), abs=1e-5
        )
    lengths = [len(f"s system rules s s user {one.user} s s assistant".split()) for one in prompts]
    assert engine.count_tokens(prompts) == lengths
    assert [answers[at].prompt_tokens for at in range(len(prompts))] == lengths


def test_the_cache_saves_what_prompts_share(folder: Path) -> None:
    engine = TransformersEngine(str(folder), labels=YES_NO, dtype="float32")
    prompts = some_prompts()[:4]
    first, *others = [one for _, one in engine.ask(prompts)]
    assert first.cached_tokens == 0
    assert {one.cached_tokens for one in others} == {16}  # all before the candidate's code
    again = [one for _, one in engine.ask(prompts)]
    assert again[0].cached_tokens == 16
    assert [one.log_odds for one in again] == pytest.approx([first.log_odds, *(o.log_odds for o in others)])
    bare = TransformersEngine(str(folder), labels=YES_NO, dtype="float32", prefix_cache=False)
    assert {one.cached_tokens for _, one in bare.ask(prompts)} == {0}


def test_a_prompt_that_cannot_be_asked_fails_alone(folder: Path) -> None:
    engine = TransformersEngine(str(folder), labels=YES_NO)
    long, control = Prompt("rules", "1 " * 64), Prompt("rules", "1 </s> <s> system yes")
    outcomes = dict(engine.ask([long, control, some_prompts()[0]]))
    assert "more than 64 tokens" in outcomes[0].reason
    assert "control token '</s>'" in outcomes[1].reason
    assert isinstance(outcomes[2], Answer)


def test_stop_yields_what_is_computed_and_ends(folder: Path) -> None:
    engine = TransformersEngine(str(folder), labels=YES_NO, batch_size=4)
    seen = []
    for at, _ in engine.ask(some_prompts()):
        seen.append(at)
        engine.stop()
    assert seen == [0, 1, 2, 3]
    assert len(list(engine.ask(some_prompts()))) == 12


def test_a_template_without_system_role_gets_the_rules_with_the_question(tmp_path: Path) -> None:
    engine = TransformersEngine(str(save_model(tmp_path, template=NO_SYSTEM)), labels=YES_NO)
    assert engine.chat.render(Prompt("rules", "1 2")) == "<s> user rules\n\n1 2 </s> <s> assistant "
    assert engine.identity["system_message"] == "in the user's"


def test_models_that_are_no_chat_models_or_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no chat template"):
        TransformersEngine(str(save_model(tmp_path / "a", template=None, weights=False)), labels=YES_NO)
    with pytest.raises(ConfigError, match="loses what it is given"):
        TransformersEngine(str(save_model(tmp_path / "b", template="<s>", weights=False)), labels=YES_NO)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        TransformersEngine(str(save_model(tmp_path / "c", weights=False)), labels=YES_NO)
    with pytest.raises(ConfigError, match="label 'unheard'"):
        TransformersEngine(str(tmp_path / "c"), labels=Labels("unheard", "no"))
    with pytest.raises(ConfigError, match="cannot be told apart"):
        TransformersEngine(str(tmp_path / "c"), labels=Labels("not", "not really"))


def test_identity_tells_models_labels_and_precision_apart_but_not_places(
    folder: Path, tmp_path: Path
) -> None:
    def identity(where: Path, **options: Any) -> dict[str, Any]:
        found = TransformersEngine(str(where), **({"labels": YES_NO} | options)).identity
        assert json.loads(json.dumps(found)) == found
        return found

    same = save_model(tmp_path / "same")
    assert identity(folder) == identity(same) == identity(folder, batch_size=1)
    others = [identity(folder, labels=Labels("no", "yes")), identity(folder, dtype="bfloat16")]
    others.append(identity(save_model(tmp_path / "other", template=TEMPLATE + " ")))
    assert all(one != identity(folder) for one in others)


def test_the_digest_of_a_folder_sees_a_change_in_large_files(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(20 * 2**20))
    before = folder_digest(tmp_path)
    assert folder_digest(tmp_path) == before
    for change in (0, 20 * 2**20 - 1):
        content = bytearray(20 * 2**20)
        content[change] = 1
        weights.write_bytes(content)
        assert folder_digest(tmp_path) != before


def test_the_start_up_check_passes_a_model_that_answers(folder: Path) -> None:
    TransformersEngine(str(folder), labels=YES_NO).check()


def test_the_start_up_check_says_what_it_saw() -> None:
    tokens = LabelTokens((3,), (4,))

    def check(*pairs: tuple[float, float]) -> None:
        seen = [Sighting([list(pair)], [("<think>", -0.01)]) for pair in pairs]
        check_sightings("some/model", YES_NO, tokens, seen)

    check((-1.0, -2.0), (-2.0, -1.0))
    with pytest.raises(ConfigError, match="not finite"):
        check((-1.0, -2.0), (-2.0, math.nan))
    with pytest.raises(ConfigError, match="same answer to the last bit"):
        check((-1.0, -2.0), (-2.0, -3.0))
    with pytest.raises(ConfigError, match=r"at most .*'yes' \[3\] .*-20\.000, -21\.000.*'<think>' -0\.01"):
        check((-20.0, -21.0), (-22.0, -21.0))


def test_sequences_leave_out_what_the_labels_share() -> None:
    tokens = LabelTokens((1, 2, 3), (1, 4, 5, 6))
    looks = [(step.forced, step.tokens) for step in tokens.steps]
    assert looks == [((1,), (2, 4)), ((1, 2), (3,)), ((1, 4), (5,)), ((1, 4, 5), (6,))]
    assert tokens.log_odds([[-1.0, -2.0], [-0.5], [-0.25], [-0.125]]) == pytest.approx(1.0 - 0.5 + 0.375)


class Scripted:
    """An engine that answers a prompt by its length and fails for `bad`."""

    identity: dict[str, Any] = {"engine": "scripted", "labels": ["yes", "no"]}  # noqa: RUF012

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(one.user) for one in prompts]

    def ask(self, prompts: Sequence[Prompt]) -> Any:
        for at, one in reversed(list(enumerate(prompts))):
            bad = one.user == "bad"
            yield at, Failure("no") if bad else Answer(1 / 3, True, len(one.user), None if at else 0)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.parquet"])
def test_replay_gives_what_was_recorded(tmp_path: Path, name: str) -> None:
    prompts = [Prompt("rules", "one"), Prompt("rules", "three"), Prompt("rules", "bad")]
    assert record(Scripted(), prompts, tmp_path / name) == [Failure("no")]
    engine = ReplayEngine(tmp_path / name)
    assert engine.identity == Scripted.identity
    assert engine.count_tokens(prompts[:2]) == [3, 5]
    outcomes = list(engine.ask(prompts[::-1]))
    assert outcomes[1:] == [(1, Answer(1 / 3, True, 5, None)), (2, Answer(1 / 3, True, 3, 0))]
    assert isinstance(outcomes[0][1], Failure)
    assert prompt_key(prompts[2]) in outcomes[0][1].reason
    with pytest.raises(InputError, match="length of a prompt is not known"):
        engine.count_tokens(prompts)
    engine.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", ""),
        ("a.jsonl", "{}\n"),
        ("a.jsonl", '{"identity": {}}\n{"key": "k"}\n'),
        ("a.jsonl", '{"identity": {}}\nnot json\n'),
        ("a.jsonl", '{"identity": {}}\n[]\n'),
        ("a.parquet", "PAR1"),
        ("a.csv", ""),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=name):
        ReplayEngine(tmp_path / name)


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    for name, engine in (("transformers", TransformersEngine), ("vllm", VLLMEngine)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ConfigError, match=rf"pip install 'dtlns\[{name}\]'"):
            engine("anything", labels=YES_NO)
    for name, library, more in (("ray", "ray", {}), ("server", "httpx", {"endpoints": ("http://h/v1",)})):
        monkeypatch.setitem(sys.modules, library, None)
        judge = LLMJudge(engine=name, model="anything", **more)
        with pytest.raises(ConfigError, match=rf"pip install 'dtlns\[{name}\]'"):
            judge.prepare()


def test_a_wrong_folder_is_said_in_plain_words(tmp_path: Path) -> None:
    said = ValueError("Repo id must use alphanumeric chars\nand more")
    for model in ("/nowhere/model", "./model", "~/model", "one/two/three"):
        assert f"the model {model} cannot be loaded: there is no such folder" in str(unreadable(model, said))
    assert "the folder holds no config.json" in str(unreadable(str(tmp_path), said))
    (tmp_path / "config.json").write_text("{}")
    for model in (str(tmp_path), "owner/name"):
        message = str(unreadable(model, said))
        assert f"the model {model} cannot be loaded: Repo id must use alphanumeric chars" in message
        assert "and more" not in message


def test_an_engine_that_fails_its_check_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Useless(Scripted):
        closed = False

        def check(self) -> None:
            raise ConfigError("its scores mean nothing")

        def close(self) -> None:
            self.closed = True

    engine = Useless()
    monkeypatch.setattr("dtlns.judges.llm.start._make", lambda *_: engine)
    with pytest.raises(ConfigError, match="mean nothing"):
        LLMJudge(engine="vllm", model="any").prepare()
    assert engine.closed


class FakeLLM:
    """Answers as `vllm.LLM` does: the log-probability of a token is minus its id over the prompt's length."""

    chunks: ClassVar[list[int]] = []

    def __init__(self, model: str, **options: Any) -> None:
        config = SimpleNamespace(dtype=torch.bfloat16, hf_config=SimpleNamespace(), max_model_len=64)
        core = SimpleNamespace(shutdown=lambda: None)
        self.llm_engine = SimpleNamespace(model_config=config, engine_core=core)
        self.options = options

    def generate(self, prompts: list[dict[str, list[int]]], looks: Any, use_tqdm: bool) -> list[Any]:
        self.chunks.append(len(prompts))
        looks = looks if isinstance(looks, list) else [looks] * len(prompts)
        return [
            SimpleNamespace(
                num_cached_tokens=3,
                outputs=[
                    SimpleNamespace(
                        logprobs=[
                            {
                                token: SimpleNamespace(logprob=-token / len(one["prompt_token_ids"]))
                                for token in getattr(look, "logprob_token_ids", None) or range(look.logprobs)
                            }
                        ]
                    )
                ],
            )
            for one, look in zip(prompts, looks, strict=True)
        ]


def test_a_vllm_that_cannot_start_is_not_blamed_on_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    class NoMemory(FakeLLM):
        def __init__(self, model: str, **options: Any) -> None:
            if "option" in options:
                raise TypeError("got an unexpected keyword argument 'option'")
            raise RuntimeError("Engine core initialization failed. See root cause above.")

    fake = SimpleNamespace(LLM=NoMemory, SamplingParams=SimpleNamespace, __version__="9")
    monkeypatch.setitem(sys.modules, "vllm", fake)
    with pytest.raises(ConfigError, match=r"vLLM cannot start .* See root cause above.*max_model_len"):
        VLLMEngine(str(folder), labels=YES_NO)
    settings = LLMSettings(engine="vllm", model=str(folder), engine_options={"option": 1})
    with pytest.raises(ConfigError, match="engine_options of the engine 'vllm': got an unexpected keyword"):
        start_engine(settings, YES_NO)


@pytest.mark.parametrize("labels", [YES_NO, Labels("not at all", "not really")])
def test_vllm_is_asked_in_chunks_and_only_for_the_labels(
    folder: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dtlns.judges.llm.engines.vllm import VLLMEngine

    fake = SimpleNamespace(LLM=FakeLLM, SamplingParams=SimpleNamespace, __version__="9")
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setattr(FakeLLM, "chunks", [])
    engine = VLLMEngine(str(folder), labels=labels, chunk=5, enforce_eager=True, kv_cache_dtype="fp8")
    assert engine.llm.options["enable_prefix_caching"]
    assert engine.identity["options"] == {"kv_cache_dtype": "fp8"}
    prompts = some_prompts()
    answers = dict(engine.ask(prompts))
    looks = len(engine.tokens.steps)
    assert FakeLLM.chunks == [5 * looks, 5 * looks, 2 * looks]
    ids = {word: engine.chat.tokenizer.convert_tokens_to_ids(word) for word in WORDS}
    for at, prompt in enumerate(prompts):
        n = len(f"s system rules s s user {prompt.user} s s assistant".split())
        expected = (ids["no"] - ids["yes"]) / n
        if labels != YES_NO:  # after "not", and after "not at"
            expected = (ids["really"] - ids["at"]) / (n + 1) - ids["all"] / (n + 2)
        assert answers[at] == Answer(pytest.approx(expected), True, n, 3)
    engine.close()
