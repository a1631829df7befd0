"""Many coroutines in flight at once, their results as a plain iterator that can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
JOIN_SECONDS = 10.0  # cancelled requests end at once; a name look-up may not


class Flight(Generic[T]):
    """Works through places 0..n-1 in an event loop in a thread of its own.

    It runs ahead of its consumer by a few results at most.

    Args:
        n: Places.
        width: Places in work at once.
        work: Makes the result of a place. None means that the place was given up, since the flight stops.
        around: Entered for as long as the work lasts.
    """

    def __init__(
        self,
        n: int,
        width: int,
        work: Callable[[int], Awaitable[T | None]],
        around: Callable[[], contextlib.AbstractAsyncContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self._places = iter(range(n))
        self._width = min(width, n)
        self._work = work
        self._around = around
        self._done: deque[tuple[int, T]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()  # rung for each result and at the end
        self._ended = False
        self._error: BaseException | None = None
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Begin nothing more; what is in work ends and is yielded. Threads and signal handlers may call."""
        self._stopped = True  # no lock: a handler may interrupt the thread that holds it
        self._call(lambda: self._wake.set())

    async def pause(self, seconds: float) -> bool:
        """Wait within the work; return early, and true, where the flight stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        return self._stopped

    def results(self) -> Iterator[tuple[int, T]]:
        """Yield (place, result) in the order in which they end.

        Yields:
            Each place once, unless the flight is stopped or fails.

        Raises:
            KeyboardInterrupt: It came while waiting here; once all that was in work is yielded. A second one
                does not wait.
            Exception: The first that the work raised, once all that was in work is yielded.
        """
        thread = threading.Thread(target=self._fly, name="dtlns-flight", daemon=True)
        thread.start()
        interrupt: KeyboardInterrupt | None = None
        given: tuple[int, T] | None = None
        try:
            while True:
                try:
                    if given is not None and self._done and self._done[0] is given:
                        self._done.popleft()
                        self._call(lambda: self._room.release())
                    given = self._first()
                    if given is None:
                        break
                    yield given
                except KeyboardInterrupt as caught:
                    if interrupt is not None:
                        raise
                    interrupt = caught
                    self.stop()
            if self._error is not None:
                raise self._error
            if interrupt is not None:
                raise interrupt
        finally:
            self._call(lambda: self._task.cancel())
            thread.join(JOIN_SECONDS)

    def _first(self) -> tuple[int, T] | None:
        """Wait for a result and leave it where it is, so that an interrupt loses none; None at the end."""
        while True:
            ended = self._ended  # before the look at what is done: nothing comes after it
            if self._done:
                return self._done[0]
            if ended:
                return None
            self._bell.get()

    def _call(self, what: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so has what is called off
                self._loop.call_soon_threadsafe(what)

    def _fly(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._ended = True
            self._bell.put(None)

    async def _all(self) -> None:
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(2 * self._width)
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()  # from here on `stop` reaches the loop
        if self._stopped:
            self._wake.set()
        async with self._around():
            await asyncio.gather(*(self._worker() for _ in range(self._width)))

    async def _worker(self) -> None:
        while True:
            await self._room.acquire()
            place = None if self._stopped else next(self._places, None)
            try:
                result = None if place is None else await self._work(place)
            except Exception as error:
                self._error = self._error or error
                self._stopped = True
                self._wake.set()
                result = None
            if place is None or result is None:
                self._room.release()  # the next worker that waits ends too
                return
            self._done.append((place, result))
            self._bell.put(None)
