"""Threads for calls that may hang: a name server, a dead network file system."""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

IDLE_SECONDS = 30.0


class Threads:
    """At most `most` daemon threads, started when needed and gone when idle.

    A call that hangs holds up neither the event loop nor the end of the process, only one of the threads. (The
    executors of the standard library are joined at exit and would wait for it.)
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive = self._busy = self._pending = 0

    def call(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run `function` on a thread; give the future of what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            value, fault = _outcome(function)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, value, fault)

        with self._lock:
            self._pending += 1
            self._calls.put(work)
            if self._pending > self._alive - self._busy and self._alive < self._most:
                self._alive += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return future

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
            with self._lock:
                self._busy -= 1

    def _next(self) -> Callable[[], None] | None:
        while True:
            with suppress(queue.Empty):
                work = self._calls.get(timeout=IDLE_SECONDS)
                with self._lock:
                    self._pending -= 1
                    self._busy += 1
                return work
            with self._lock:
                if not self._pending:
                    self._alive -= 1
                    return None


def _outcome(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return function(), None
    except StopIteration as fault:  # a future refuses this one
        return None, RuntimeError(repr(fault))
    except Exception as fault:
        return None, fault


def _settle(future: "asyncio.Future[Any]", value: Any, fault: Exception | None) -> None:
    if future.done():
        return
    if fault is not None:
        future.set_exception(fault)
    else:
        future.set_result(value)
