"""The border for text files: what is not UTF-8 text with lines of a sane length is refused, with its line."""

from __future__ import annotations

import codecs
from pathlib import Path

from dtlns.errors import DataError

CHUNK = 1 << 20
MAX_LINE = 1 << 20  # bytes; a row of a table is far below, a file without line ends far above
_MAGIC = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed with gzip",
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def check_file(path: Path) -> None:
    """Raise unless `path` is a readable, non-empty file.

    Args:
        path: The file.

    Raises:
        DataError: It is missing, a folder, empty or unreadable.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is a folder", allowed="a file")
    try:
        with path.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if not first:
        raise DataError(f"{path} is empty")


def check_text(path: Path, *, max_line: int = MAX_LINE) -> int:
    """Check that a file is UTF-8 text with bounded lines, in constant memory.

    Args:
        path: The file.
        max_line: Longest line allowed, bytes.

    Returns:
        The number of lines, a last one without line end included.

    Raises:
        DataError: It is binary, compressed, in another encoding, or has a line that is too long.
    """
    check_file(path)
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, open_line = 0, 0  # finished lines; bytes in the unfinished one
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            if lines == 0 and open_line == 0:
                _refuse_magic(path, chunk)
            if (at := chunk.find(b"\0")) >= 0:
                line = lines + chunk.count(b"\n", 0, at) + 1
                raise DataError(f"{path}, line {line}: a NUL byte, so this is not text", allowed="UTF-8 text")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                # The decoder may have carried up to three bytes over from the chunk before.
                line = lines + chunk.count(b"\n", 0, max(error.start, 0)) + 1
                byte = error.object[error.start]
                raise DataError(
                    f"{path}, line {line}: the byte 0x{byte:02x} is not valid UTF-8",
                    allowed="UTF-8 text",
                    hint="convert it, for instance with `iconv -f latin1 -t utf-8`",
                ) from error
            _check_lengths(path, chunk, lines, open_line, max_line)
            lines += chunk.count(b"\n")
            last = chunk.rfind(b"\n")
            open_line = open_line + len(chunk) if last < 0 else len(chunk) - last - 1
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {lines + 1}: cut within a character", allowed="UTF-8 text") from error
    return lines + (open_line > 0)


def head(path: Path, count: int = 64) -> list[str]:
    """Return the first lines of a text file, never more than 256 KiB of it.

    Args:
        path: A file of any kind; bytes that are not UTF-8 are replaced.
        count: How many lines at most.

    Returns:
        Lines without their ends; a last one that was cut short is left out if it is not the only one.
    """
    with path.open("rb") as stream:
        start = stream.read(1 << 18)
        whole = not stream.read(1)
    lines = start.decode("utf-8-sig", errors="replace").splitlines()
    if not whole and len(lines) > 1:
        lines = lines[:-1]
    return lines[:count]


def _refuse_magic(path: Path, chunk: bytes) -> None:
    for magic, what in _MAGIC.items():
        if chunk.startswith(magic):
            raise DataError(
                f"{path} is {what}",
                allowed="UTF-8 text",
                hint="use --format parquet" if magic == b"PAR1" else "unpack or convert it first",
            )


def _check_lengths(path: Path, chunk: bytes, lines: int, open_line: int, max_line: int) -> None:
    """Raise for a line over the bound; most chunks need one comparison only."""
    first = chunk.find(b"\n")
    longest_first = open_line + (len(chunk) if first < 0 else first)
    if longest_first > max_line:
        number = lines + 1
    elif first < 0 or len(chunk) <= max_line:
        return
    else:
        lengths = [len(line) for line in chunk.split(b"\n")]
        long = next((i for i, length in enumerate(lengths) if length > max_line), None)
        if long is None:
            return
        number = lines + 1 + long
    raise DataError(
        f"{path}, line {number} is longer than {max_line:,} bytes",
        allowed="one row per line",
        hint="check the line ends and the format",
    )
