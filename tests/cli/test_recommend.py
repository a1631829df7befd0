"""`dtlns recommend`: the lists that `dtlns evaluate` measures, in four formats, and how it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from run_command import call, expect

from dtlns.stages import recommending


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Named shop data with text ids, a cold user and a cold item; and planted data with an MF."""
    at = tmp_path_factory.mktemp("recommend")
    source = at / "shop"
    source.mkdir()
    head = "user_id:token\titem_id:token\n"
    (source / "shop.train.inter").write_text(head + "ann\tpen\nann\tink\nbob\tpen\nbob\tcap\neve\tmug\n")
    (source / "shop.valid.inter").write_text(head + "ann\tcap\n")
    (source / "shop.test.inter").write_text(head + "ann\tmug\nzoe\tpen\nbob\tnew\n")
    (source / "shop.item").write_text(
        "item_id:token\tname:token_seq\npen\tA pen, blue\nink\tInk\ncap\tA cap\n"
    )
    small = ["--users", 60, "--branching", 3, "--leaf-size", 3, "--exposed", 1.0, "--interactions", 10]
    loop = ["--sampler", "uniform", "--epochs", 2, "--validate-every", 1]
    for words in (
        ["data", "import", source, "-o", at / "data"],
        ["train", at / "data", "-o", at / "model", "--model", "popularity"],
        ["data", "planted", "-o", at / "planted", *small],
        ["train", at / "planted", "-o", at / "mf", "--model", "mf", *loop],
    ):
        expect(*words)
    (at / "some.txt").write_text("\ufeffeve\r\n\n ann \neve\n")
    (at / "heads.txt").write_text("user_id\nann\n")
    (at / "nothing.txt").write_text("\n")
    (at / "stock.txt").write_text("ink\nmug\nhat\nnew\n")
    (at / "hats.txt").write_text("hat\n")
    (at / "names.csv").write_text('id,title\nmug,"A ""big"" mug"\nhat,A hat\n')
    (at / "plain.csv").write_text("id,price\nmug,3\n")
    (at / "others.csv").write_text("id,name\nhat,A hat\n")
    return at


def test_the_table_on_stdout(made: Path) -> None:
    status, out, err = call("recommend", made / "model", "-k", 2)
    assert status == 0
    assert out == (
        "user,rank,item,score,name\n"
        "ann,1,cap,1.0,A cap\n"
        "ann,2,mug,1.0,\n"
        "bob,1,ink,1.0,Ink\n"
        "bob,2,mug,1.0,\n"
        'eve,1,pen,2.0,"A pen, blue"\n'
        "eve,2,cap,1.0,A cap\n"
    )
    assert err == (
        "the 2 best of 4 items for 3 users; left out: training interactions\n"
        "  no list for 1 user without training interactions\n"
    )
    assert call("recommend", made / "model", "-k", 2, "-o", "-")[1] == out


def test_all_formats_hold_the_same_rows(made: Path, tmp_path: Path) -> None:
    told = ["recommend", made / "mf", "-k", 7]
    text = call(*told)[1]
    wanted = pl.read_csv(io.StringIO(text), schema_overrides={"rank": pl.UInt32, "score": pl.Float32})
    for form, read in {
        "csv": lambda file: pl.read_csv(file, schema_overrides=wanted.schema),
        "tsv": lambda file: pl.read_csv(file, separator="\t", schema_overrides=wanted.schema),
        "jsonl": lambda file: pl.read_ndjson(file, schema=wanted.schema),
        "parquet": pl.read_parquet,
    }.items():
        out = tmp_path / "new" / f"lists.{form}"
        assert call(*told, "-o", out)[0] == 0
        assert read(out).equals(wanted)
        assert call(*told, "-o", tmp_path / "again", "--format", form)[0] == 0
        assert (tmp_path / "again").read_bytes() == out.read_bytes()
        (tmp_path / "again").unlink()
        if form != "parquet":
            assert call(*told, "--format", form)[1] == out.read_text()


@pytest.mark.parametrize("mask", [[], ["--mask-valid"]])
def test_recall_of_the_lists_is_that_of_evaluate(made: Path, mask: list[str]) -> None:
    said = json.loads(call("evaluate", made / "mf", "-k", 10, "--json", *mask)[1])
    told = ["recommend", made / "mf", "-k", 10, "--seen", said["masked"]["test"]]
    lists = pl.read_csv(io.StringIO(call(*told)[1]))
    shown = set(lists.select("user", "item").rows())
    users, items = (
        pl.read_parquet(made / "planted" / f"{name}.parquet")["id"] for name in ("users", "items")
    )
    test = pl.read_parquet(made / "planted" / "test.parquet")
    recalls = [
        np.mean([(users[user], items[item]) in shown for item in group["item"]])
        for (user,), group in test.group_by("user")
    ]
    assert len(recalls) == said["users"]["test"]
    assert np.mean(recalls) == pytest.approx(said["test"]["recall@10"], abs=1e-9)


@pytest.mark.parametrize(
    ("seen", "items"),
    [
        ("train", ["cap", "mug"]),
        ("train+valid", ["mug"]),
        ("all", []),
        ("none", ["pen", "cap", "ink", "mug"]),
    ],
)
def test_what_counts_as_seen(made: Path, tmp_path: Path, seen: str, items: list[str]) -> None:
    out = tmp_path / "lists.parquet"
    told = ["recommend", made / "model", "--user", "ann", "-k", 3, "--seen", seen, "-o", out, "--json"]
    facts = json.loads(call(*told)[1])
    assert pl.read_parquet(out)["item"].to_list() == items[:3]
    assert facts.pop("seconds") >= 0
    assert facts == {
        "path": str(out),
        "model": str(made / "model"),
        "k": 3,
        "seen": seen,
        "users": 1,
        "items": 4,
        "rows": min(3, len(items)),
        "short_lists": int(len(items) < 3),
        "cold_users": 0,
    }


def test_users_and_items_from_files(made: Path) -> None:
    told = ["recommend", made / "model", "--users", made / "some.txt", "--user", "zoe", "--user", "bob"]
    _, out, err = call(*told, "--only-items", made / "stock.txt", "--item-names", made / "names.csv")
    assert out == (
        "user,rank,item,score,name\n"
        "bob,1,ink,1.0,\n"
        'bob,2,mug,1.0,"A ""big"" mug"\n'
        "eve,1,ink,1.0,\n"
        'ann,1,mug,1.0,"A ""big"" mug"\n'
    )
    assert err.splitlines() == [
        "warning: users without training interactions, 1 of 4, get no list: 'zoe'",
        "warning: allowed items that the model does not know, 2 of 4: 'hat', 'new'",
        f"warning: {made / 'names.csv'} names 1 of 4 items",
        "the 20 best of 2 items for 3 users; left out: training interactions",
        "  fewer than 20 items are left for 3 users",
        "  no list for 1 user without training interactions",
    ]
    told = ["recommend", made / "model", "--user", "eve", "-k", 9, "--format", "jsonl"]
    out = call(*told, "--exclude-items", made / "stock.txt")[1]
    assert [json.loads(line)["item"] for line in out.splitlines()] == ["pen", "cap"]


REFUSED: list[tuple[int, list[str], str]] = [
    (1, ["--user", "ann", "--user", "tom"], "does not have, 1 of 2: 'tom'"),
    (1, ["--users", "heads.txt"], "in a file without a header"),
    (1, ["--users", "nothing.txt"], "nothing.txt holds no ids"),
    (1, ["--users", "absent.txt"], "absent.txt does not exist"),
    (1, ["--user", "zoe"], "no user asked for has a training interaction: 'zoe'"),
    (1, ["--only-items", "hats.txt"], "no item is left to recommend"),
    (1, ["--item-names", "plain.csv"], "no column that looks like the name"),
    (1, ["--item-names", "others.csv"], "none of its 1 ids is one of the items"),
    (1, ["--data", "planted"], "was made from training data"),
    (1, ["-o", "names.csv"], "names.csv exists"),
    (1, ["-o", "shop", "--format", "csv"], "shop is a folder"),
    (2, ["-o", "lists.xlsx"], "the suffix tells no format"),
    (2, ["--format", "parquet"], "name a file with -o"),
    (2, ["--json"], "--json reports on a file"),
    (2, ["-k", "0"], "0 is not in the range"),
    (2, ["--seen", "test"], "'test' is not one of"),
]


@pytest.mark.parametrize(("code", "words", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_wrong_calls_are_refused(
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(made)
    before = sorted(made.iterdir())
    status, out, err = call("recommend", "model", *words)
    assert (status, out) == (code, "")
    assert message in err
    assert sorted(made.iterdir()) == before


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_interrupted_command_leaves_what_was_there(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    real = recommending.list_blocks

    def interrupted(*args: Any, **options: Any) -> Any:
        yield next(real(*args, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(recommending, "list_blocks", interrupted)
    out = tmp_path / f"lists.{form}"
    assert call("recommend", made / "model", "-o", out)[0] == 130
    assert not list(tmp_path.iterdir())
    out.write_text("old")
    assert call("recommend", made / "model", "-o", out, "--force")[0] == 130
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
