"""Processes that end with this one, even when this one is killed with -9.

vLLM's engine process lives on when the process that started it is killed, and keeps the memory of its GPU
(https://github.com/vllm-project/vllm/issues/55510).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

# The pipe ends with the process that holds its other end; then they have some seconds to go by themselves.
_WATCH = """
import os, signal, sys, time

def tell(number):
    for pid in sys.argv[2:]:
        try:
            os.kill(int(pid), number)
        except ProcessLookupError:
            pass

sys.stdin.read()
tell(signal.SIGTERM)
time.sleep(float(sys.argv[1]))
tell(signal.SIGKILL)
"""


class Lifeline:
    """Ends processes once this process has ended, however it ended.

    A process of its own watches; it costs some megabytes.

    Args:
        pids: The processes, such as those that vLLM has started by the time it has loaded its model.
        seconds: What they have to end by themselves.
    """

    def __init__(self, pids: Sequence[int], seconds: float = 10.0) -> None:
        words = [sys.executable, "-I", "-c", _WATCH, str(seconds), *map(str, pids)]
        # A session of its own: what is sent to a whole group, such as Ctrl-C, is not for the watcher.
        self._watcher = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def cut(self) -> None:
        """Watch no longer: the processes have ended, or may go on alone."""
        self._watcher.kill()
        self._watcher.communicate()
