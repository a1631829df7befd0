"""Readers of interaction logs, one file per format, all returning a `RawLog`."""

from dtlns.data.readers.base import RawLog, ReadOptions
from dtlns.data.readers.detect import READERS, detect_format, read_log
from dtlns.data.readers.tables import read_table

__all__ = ["READERS", "RawLog", "ReadOptions", "detect_format", "read_log", "read_table"]
