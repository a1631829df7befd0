"""Lines of integers with spaces between them, as LightGCN and DTL-NS files have, read in bulk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns.data.readers.text import check_text
from dtlns.errors import DataError

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
    raw = np.fromfile(path, dtype=np.uint8)
    if raw[:3].tobytes() == b"\xef\xbb\xbf":
        raw = raw[3:]
    newline = raw == ord("\n")
    blank = newline | (raw == ord(" ")) | (raw == ord("\t")) | (raw == ord("\r"))
    digit = (raw >= ord("0")) & (raw <= ord("9"))
    wrong = ~(blank | digit)
    if wrong.any():
        _refuse(path, raw, newline, int(wrong.argmax()))
    begins = np.flatnonzero(digit & np.concatenate([[True], ~digit[:-1]]))
    ends = np.flatnonzero(digit & np.concatenate([~digit[1:], [True]])) + 1
    lengths = ends - begins
    if lengths.size and lengths.max() > 18:
        for long in np.flatnonzero(lengths > 18):
            if int(raw[begins[long] : ends[long]].tobytes()) > 2**63 - 1:
                _refuse(path, raw, newline, int(begins[long]))
    values = np.zeros(len(begins), dtype=np.int64)
    for place in range(int(lengths.max(initial=0))):
        more = lengths > place
        at = begins[more] + place
        values[more] = values[more] * 10 + (raw[at] - np.uint8(ord("0")))
    line_of = np.searchsorted(np.flatnonzero(newline), begins) + 1
    first = np.flatnonzero(np.diff(line_of, prepend=0))
    return values, np.append(first, len(values)), line_of[first]


def _refuse(path: Path, raw: NDArray[np.uint8], newline: NDArray[np.bool_], at: int) -> None:
    line = int(newline[:at].sum()) + 1
    begin = at
    while begin > 0 and at - begin < 40 and raw[begin - 1] not in b" \t\r\n":
        begin -= 1
    token = raw[begin : at + 40].tobytes().decode("utf-8", errors="replace").split()[0]
    allowed = "integers from 0 to 2^63-1, blanks between them"
    raise DataError(f"{path}, line {line}: {token!r} is not a usable id", allowed=allowed)
