"""A file is whole or as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtlns.errors import ArtifactError
from dtlns.whole_file import check_free_file, whole_file


def test_a_file_is_there_when_the_body_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "list.txt"
    with whole_file(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("all")
    assert path.read_text() == "all"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_was_there_stays_when_the_body_fails(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "list.txt"
    path.write_text("old")

    def write() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise failure

    with pytest.raises(failure):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    check_free_file(path)
    path.touch()
    check_free_file(path, force=True)
    with pytest.raises(ArtifactError, match=r"exists · hint: .*--force"):
        check_free_file(path)
    with pytest.raises(ArtifactError, match="is a folder"):
        check_free_file(tmp_path, force=True)
