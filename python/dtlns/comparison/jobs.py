"""Jobs in processes of their own: one that fails, or takes too much memory, is reported; the others go on."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from dtlns.errors import DtlnsError

_GIGABYTE = 1024**3
_PATIENCE = 5.0  # seconds that a job has to end by itself
# Starts once, imports everything once, and forks each job from there before any thread exists.
_CONTEXT = get_context("forkserver")


@dataclass(frozen=True)
class Job:
    """Something to do.

    Attributes:
        name: For people.
        work: A function of a module; its arguments and result are sent between processes.
        arguments: For `work`.
    """

    name: str
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: Which one.
        value: What it returned, or None when it failed.
        failure: Why it failed, or None.
        seconds: How long it took.
    """

    job: Job
    value: Any
    failure: str | None
    seconds: float


@dataclass(frozen=True)
class _Running:
    job: Job
    process: Any
    answer: Connection
    lifeline: Connection
    started: float


def run_jobs(
    jobs: Sequence[Job], *, at_once: int = 1, threads: int = 1, memory_gb: float | None = None
) -> Iterator[Outcome]:
    """Run jobs, some at a time, each in a process of its own.

    Called from a script, it needs the usual `if __name__ == "__main__":` around.

    Args:
        jobs: What to do, in order.
        at_once: How many at the same time.
        threads: Threads of each.
        memory_gb: Memory that all running jobs may take together, or None; a job's share covers what it
            allocates, not the files that it maps.

    Yields:
        One outcome for each job, in the order in which they end.
    """
    share = None if memory_gb is None else int(memory_gb * _GIGABYTE / at_once)
    _CONTEXT.set_forkserver_preload(["dtlns.comparison.work"])
    waiting, running = list(jobs), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0), threads, share))
            ready = connection.wait([one.answer for one in running])
            for one in [one for one in running if one.answer in ready]:
                running.remove(one)
                yield _finish(one, share)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join(_PATIENCE)
            one.process.kill()  # a long call into a library hears no signal that Python handles
            one.process.join()


def _start(job: Job, threads: int, memory: int | None) -> _Running:
    answer, theirs = _CONTEXT.Pipe(duplex=False)
    held, lifeline = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(
        target=_child, args=(job, theirs, held, threads, memory), name=job.name, daemon=True
    )
    process.start()
    theirs.close()
    held.close()
    return _Running(job, process, answer, lifeline, time.monotonic())


def _finish(one: _Running, memory: int | None) -> Outcome:
    try:
        value, failure = one.answer.recv()
        one.process.join()
    except (EOFError, OSError):  # before its answer, or within
        one.process.join()
        value, failure = None, _death(one.process.exitcode, memory)
    one.answer.close()
    one.lifeline.close()
    return Outcome(one.job, value, failure, time.monotonic() - one.started)


def _death(exitcode: int | None, memory: int | None) -> str:
    """Say how a job ended that could not say it itself."""
    bound = "" if memory is None else f"; it may have needed more than its {memory / _GIGABYTE:.2g} GB"
    if exitcode is not None and exitcode < 0:
        return f"ended by {signal.Signals(-exitcode).name}{bound}"
    return f"ended with exit status {exitcode}{bound}"


def _child(job: Job, answer: Connection, lifeline: Connection, threads: int, memory: int | None) -> None:
    """Do a job and send what came of it; end with the parent, however that ends."""
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.getLogger("dtlns").setLevel(logging.WARNING)
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    if memory is not None:
        # Rust that runs out of memory while it prints a backtrace waits forever for its own lock.
        os.environ["RUST_BACKTRACE"] = "0"
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    try:
        with threadpool_limits(threads):
            answer.send((job.work(*job.arguments), None))
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError as error:
        answer.send((None, f"out of memory{_bound(memory)}{f': {error}' if str(error) else ''}"))
    except DtlnsError as error:
        answer.send((None, str(error)))
    except Exception as error:
        answer.send((None, f"{type(error).__name__}: {error}{_bound(memory)}"))


def _bound(memory: int | None) -> str:
    return "" if memory is None else f" (bound {memory / _GIGABYTE:.2g} GB)"


def _end_with_parent(lifeline: Connection) -> None:
    """A parent that is killed closes its end of the pipe; nobody ever writes to it."""
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os._exit(1)
