"""An artefact folder is whole or not there, and what was changed is noticed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from dtlns.artifacts import (
    Spec,
    load_arrays,
    make_artifact,
    open_artifact,
    save_arrays,
    write_artifact,
    write_json,
    write_text,
)
from dtlns.errors import ArtifactError, LeakageError


def _write(path: Path, value: int = 1, *, force: bool = False) -> None:
    with write_artifact(path, "thing", config={"value": value}, train_digest="a" * 64, force=force) as folder:
        write_json(folder / "value.json", value)


def test_written_artifact_opens_and_names_its_content(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    _write(tmp_path / "b")
    _write(tmp_path / "c", 2)
    first, second, third = (open_artifact(tmp_path / name, "thing") for name in "abc")
    assert first.config == {"value": 1}
    assert first.digest == second.digest != third.digest
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == [
        "manifest.json",
        "run.json",
        "value.json",
    ]
    assert not list(tmp_path.glob(".*"))


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with write_artifact(tmp_path / "a", "thing", config={}) as folder:
            write_json(folder / "value.json", 1)
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_failed_replacement_keeps_the_old_one(tmp_path: Path) -> None:
    _write(tmp_path / "a", 1)

    def fail() -> None:
        with write_artifact(tmp_path / "a", "thing", config={}, force=True):
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError):
        fail()
    assert open_artifact(tmp_path / "a", "thing").config == {"value": 1}


def test_kill_leaves_nothing_that_opens_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dtlns.artifacts import write_artifact\n"
        "with write_artifact(Path(sys.argv[1]), 'thing', config={}) as folder:\n"
        "    (folder / 'half').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "a").exists()
    assert len(list(tmp_path.glob(".a.partial-*"))) == 1
    _write(tmp_path / "a")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_kill_while_replacing_leaves_no_half_folder(tmp_path: Path) -> None:
    _write(tmp_path / "a", 1)
    code = (
        "import os, shutil, sys; from pathlib import Path; from dtlns.artifacts import write_artifact\n"
        "shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "with write_artifact(Path(sys.argv[1]), 'thing', config={'value': 2}, force=True): pass\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert open_artifact(tmp_path / "a", "thing").config == {"value": 2}
    _write(tmp_path / "a", 3, force=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_names_are_no_patterns(tmp_path: Path) -> None:
    for name in (".[a].partial-4194304", ".a.partial-4194304"):  # no process has this id
        (tmp_path / name).mkdir()
    _write(tmp_path / "[a]")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".a.partial-4194304", "[a]"]


def test_what_exists_is_not_overwritten_without_force(tmp_path: Path) -> None:
    _write(tmp_path / "a", 1)
    with pytest.raises(ArtifactError, match="--force"):
        _write(tmp_path / "a", 2)
    _write(tmp_path / "a", 2, force=True)
    assert open_artifact(tmp_path / "a", "thing").config == {"value": 2}


def test_foreign_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match="not something that dtlns wrote"):
        _write(tmp_path / "a", force=True)
    assert (tmp_path / "a" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("damage", ["change", "cut", "remove"])
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    _write(tmp_path / "a")
    file = tmp_path / "a" / "value.json"
    if damage == "change":
        file.write_text("7\n")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    with pytest.raises(ArtifactError, match=r"value\.json (was changed or cut|is missing)"):
        open_artifact(tmp_path / "a", "thing")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"kind": "thing"}'])
def test_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    _write(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match="damaged"):
        open_artifact(tmp_path / "a", "thing")


def test_kind_and_schema_are_checked(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    with pytest.raises(ArtifactError, match="holds 'thing'"):
        open_artifact(tmp_path / "a", "other")
    manifest = tmp_path / "a" / "manifest.json"
    values = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps(values | {"schema": 99}))
    with pytest.raises(ArtifactError, match="schema version 99"):
        open_artifact(tmp_path / "a", "thing")


def test_other_training_split_is_a_leak(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", "thing")
    artifact.check_train("a" * 64)
    with pytest.raises(LeakageError, match="made from training data"):
        artifact.check_train("b" * 64)


def test_reuse_takes_the_same_and_makes_the_rest_again(tmp_path: Path) -> None:
    made = []

    def make(value: int) -> str:
        def body(folder: Path) -> None:
            made.append(value)
            write_json(folder / "value.json", value)

        spec = Spec("thing", {"value": value}, {"upstream": "d" * 64})
        return make_artifact(tmp_path / "a", spec, body, if_exists="reuse").digest

    first = make(1)
    assert make(1) == first
    assert made == [1]
    assert make(2) != first
    (tmp_path / "a" / "value.json").write_text("damaged")
    make(2)
    assert made == [1, 2, 2]


def test_arrays_come_back_and_have_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.uint64).reshape(2, 3)[:, ::2], "a": np.float32([1.5, np.inf])}
    save_arrays(tmp_path / "one", arrays)
    time.sleep(0.01)
    save_arrays(tmp_path / "two", dict(reversed(arrays.items())))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = load_arrays(tmp_path / "one")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    (tmp_path / "one").write_bytes(b"\x00" * 9)
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_arrays(tmp_path / "one")


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "table.md"
    write_text(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "\ud800")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(file, float("nan"))
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(int=0))
    (tmp_path / f".table.md.partial-{os.getpid()}-00000000").mkdir()  # nothing can be written under this name
    with pytest.raises(OSError, match="directory"):
        write_text(file, "new")
    assert file.read_text() == "old"


def test_files_of_arrays_are_as_readable_as_others(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.safetensors", {"x": np.arange(3)})
    (tmp_path / "b").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b").stat().st_mode
