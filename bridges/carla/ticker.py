"""Ticking the world on a thread of its own, so that a tick that never ends can be given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

CHECK_S = 0.2  # how often a wait looks for a reason to end
LATE_S = 1.0  # a call that ends within this time is waited for before the process may end


class Ticker:
    """Calls `world.tick`, which blocks for the client's whole timeout when the server dies."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Any, float, Future[int]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._returns_by = 0.0  # host monotonic clock: when the call under way ends at the latest

    def tick(self, world: Any, timeout_s: float, check: Callable[[], None]) -> int:
        """Return the number of the frame that a tick makes.

        Args:
            world: the client's world.
            timeout_s: of the client's call.
            check: called a few times a second meanwhile; what it raises ends the wait.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rm-carla-tick", daemon=True)
            self._thread.start()
        reply: Future[int] = Future()
        self._returns_by = time.monotonic() + timeout_s
        self._calls.put((world, timeout_s, reply))
        while True:
            try:
                return reply.result(CHECK_S)
            except TimeoutError:
                check()

    def close(self, *, server_is_up: bool, timeout_s: float) -> None:
        """End the thread, once the tick under way is made; may be called twice.

        A call to a dead server is not waited for, unless it is about to end: the process may abort
        if a client's call returns while it exits.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._calls.put(None)
        left = self._returns_by - time.monotonic()
        if server_is_up:
            thread.join(timeout_s)
        else:
            thread.join(left + LATE_S if left < LATE_S else 0.0)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            world, timeout_s, reply = call
            try:
                reply.set_result(int(world.tick(timeout_s)))
            except BaseException as error:
                reply.set_exception(error)
            del call, world, reply
