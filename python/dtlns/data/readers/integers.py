"""Lines of integers with spaces between them, as LightGCN and DTL-NS files have, read in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns.data.readers.text import check_text
from dtlns.errors import DataError

BOM = b"\xef\xbb\xbf"
BLOCK = 1 << 24
MAX_INT = 2**63 - 1
MAX_LINE = 1 << 26  # one user's whole history may stand on one line


def integer_lines(
    path: Path, *, max_line: int = MAX_LINE
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Read every integer of a text file and where the lines begin.

    Args:
        path: The file; blanks or tabs between the numbers, blank lines are skipped.
        max_line: Longest line allowed, bytes.

    Returns:
        values int64 [N]; starts int64 [lines + 1], where each non-blank line begins in `values`; numbers
        int64 [lines], the line numbers, from 1.

    Raises:
        DataError: A field is not a non-negative integer below 2^63; the message names file and line.
    """
    check_text(path, max_line=max_line)
    parts = [_parse(path, raw, before) for raw, before in _blocks(path)]
    values = np.concatenate([part[0] for part in parts])
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
    firsts = [part[1] + offset for part, offset in zip(parts, offsets, strict=False)]
    starts = np.concatenate([*firsts, offsets[-1:]])
    return values, starts, np.concatenate([part[2] for part in parts])


def _blocks(path: Path) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield whole lines of about `BLOCK` bytes together, and how many lines came before them."""
    before = 0
    with path.open("rb") as stream:
        rest = b""
        while chunk := stream.read(BLOCK):
            end = chunk.rfind(b"\n") + 1
            block, rest = (rest + chunk[:end], chunk[end:]) if end else (b"", rest + chunk)
            if block:
                yield np.frombuffer(block.removeprefix(BOM if before == 0 else b""), dtype=np.uint8), before
                before += block.count(b"\n")
        if rest:
            yield np.frombuffer(rest.removeprefix(BOM if before == 0 else b""), dtype=np.uint8), before


def _parse(
    path: Path, raw: NDArray[np.uint8], before: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the values of a block, where its lines begin among them, and the lines' numbers."""
    newline = raw == ord("\n")
    blank = newline | (raw == ord(" ")) | (raw == ord("\t")) | (raw == ord("\r"))
    digit = (raw >= ord("0")) & (raw <= ord("9"))
    wrong = ~(blank | digit)
    if wrong.any():
        _refuse(path, raw, before, int(wrong.argmax()))
    begins = np.flatnonzero(digit & np.concatenate([[True], ~digit[:-1]]))
    ends = np.flatnonzero(digit & np.concatenate([~digit[1:], [True]])) + 1
    lengths = ends - begins
    for long in np.flatnonzero(lengths > 18):  # nearly always none: 18 digits fit in any case
        if int(raw[begins[long] : ends[long]].tobytes()) > MAX_INT:
            _refuse(path, raw, before, int(begins[long]))
    values = np.zeros(len(begins), dtype=np.int64)
    for place in range(int(lengths.max(initial=0))):
        more = lengths > place
        values[more] = values[more] * 10 + (raw[begins[more] + place] - np.uint8(ord("0")))
    line_of = np.searchsorted(np.flatnonzero(newline), begins) + 1
    first = np.flatnonzero(np.diff(line_of, prepend=0))
    return values, first, line_of[first] + before


def _refuse(path: Path, raw: NDArray[np.uint8], before: int, at: int) -> None:
    line = before + int((raw[:at] == ord("\n")).sum()) + 1
    begin = at
    while begin > 0 and at - begin < 40 and raw[begin - 1] not in b" \t\r\n":
        begin -= 1
    token = raw[begin : at + 40].tobytes().decode("utf-8", errors="replace").split()[0]
    allowed = "integers from 0 to 2^63-1, blanks between them"
    raise DataError(f"{path}, line {line}: {token!r} is not a usable id", allowed=allowed)
