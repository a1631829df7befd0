"""`dtlns audit`: exit status, text for people, JSON for machines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from run_command import call

from dtlns.data.bundled import import_bundled
from dtlns.data.splits import split_dataset

CODES = re.compile(r"`([a-z]+(?:-[a-z]+)+)`")


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    rows = [
        f"{user},{item},{'test' if (user + item) % 5 == 0 else 'train'}"
        for user in range(8)
        for item in range(9)
    ]
    file = tmp_path / "log.csv"
    file.write_text("user,item,split\n" + "\n".join([*rows, "2,3,train", "0,1,train"]) + "\n")
    return file


def test_something_found(leaking: Path) -> None:
    status, out, _ = call("audit", leaking)
    assert status == 1
    blocks = out.strip().split("\n\n")
    assert blocks[0].startswith("log.csv (table): 8 users, 9 items")
    assert [block.split("\n")[0] for block in blocks[1:3]] == [
        "LEAK  held-out-in-training",
        "CAUTION  repeated-rows",
    ]
    assert "user 2, item 3" in blocks[1]
    assert "Recall@20" in blocks[1]
    assert blocks[-1] == "found: 1 leak, 1 caution"
    assert max(map(len, out.splitlines())) <= 120
    status, out, _ = call("audit", leaking, "--json")
    report = json.loads(out)
    assert status == 1
    assert not report["clean"]
    leak, caution = report["findings"]
    assert (leak["code"], leak["count"], leak["example"]) == (
        "held-out-in-training",
        1,
        {"user": 2, "item": 3, "held_out_in": "test"},
    )
    assert (caution["code"], caution["count"]) == ("repeated-rows", 1)


def test_the_bundled_data_is_clean(tmp_path: Path) -> None:
    whole = import_bundled("movielens-small", tmp_path / "whole")
    for by in ("random", "time"):
        split_dataset(whole.path, tmp_path / by, by=by)
        status, out, _ = call("audit", tmp_path / by)
        assert status == 0
        assert out.strip().split("\n")[-1].startswith("nothing found")


@pytest.mark.parametrize("wrong", ["no split", "missing file", "not a log", "no model", "unknown option"])
def test_an_audit_that_cannot_be_done_is_status_2(tmp_path: Path, leaking: Path, wrong: str) -> None:
    (tmp_path / "plain.csv").write_text("user,item\n1,2\n")
    (tmp_path / "binary").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").mkdir()
    arguments = {
        "no split": (tmp_path / "plain.csv",),
        "missing file": (leaking, "--candidates", tmp_path / "nothing"),
        "not a log": (leaking, "--log", tmp_path / "binary"),
        "no model": (leaking, "--model", tmp_path / "empty"),
        "unknown option": (leaking, "--candidate", tmp_path / "binary"),
    }[wrong]
    status, out, err = call("audit", *arguments)
    assert status == 2
    assert not out
    assert "rror" in err


def test_the_page_explains_every_finding() -> None:
    root = Path(__file__).resolve().parents[2]
    source = "".join(file.read_text() for file in (root / "python" / "dtlns" / "audit").glob("*.py"))
    in_code = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source)) - {"last-out", "held-out", "amazon-sports"}
    templates = {"cold-users", "cold-items"}
    for kind in ("candidates", "positives"):
        templates |= {f"{kind}-for-held-out-users", f"{kind}-avoid-held-out", f"held-out-ids-in-{kind}"}
    templates |= {f"unknown-ids-in-{kind}" for kind in ("candidates", "positives", "predictions")}
    explained = set(CODES.findall((root / "docs" / "concepts" / "audit.md").read_text(encoding="utf-8")))
    assert in_code | templates <= explained
