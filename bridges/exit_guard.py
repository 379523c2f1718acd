"""Runs a bridge's clean-up on every way out of the process that Python can see."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Their default action ends the process without a `finally`; SIGHUP is a closed terminal.
_FATAL = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_lock = threading.Lock()
_armed: list[ExitGuard] = []


class ExitGuard:
    """Calls `undo` at exit, and makes SIGTERM and SIGHUP unwind the stack instead of killing.

    Only a signal whose action is still the default one is taken over: it then raises SystemExit
    with 128 + its number in the main thread, so `with` and `finally` run. A program's own handlers
    and ignored signals stay as they are. Guards may overlap; the last one to be disarmed puts the
    defaults back. Armed outside the main thread, a guard can only use atexit.
    """

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo = undo

    def arm(self) -> None:
        """Start guarding."""
        atexit.register(self._undo)
        with _lock:
            _armed.append(self)
            if _in_main_thread():
                for number in _FATAL:
                    if signal.getsignal(number) is signal.SIG_DFL:
                        signal.signal(number, _unwind)

    def disarm(self) -> None:
        """Stop guarding; may be called twice and from any thread."""
        atexit.unregister(self._undo)
        with _lock:
            if self in _armed:
                _armed.remove(self)
            if not _armed and _in_main_thread():
                for number in _FATAL:
                    if signal.getsignal(number) is _unwind:
                        signal.signal(number, signal.SIG_DFL)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP back until the block is done; main thread only."""
    if not _in_main_thread():
        yield
        return
    held: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, *_FATAL):
            if signal.getsignal(number) is not None:  # None: set by C code, not ours to touch
                before[number] = signal.signal(number, lambda n, _frame: held.append(n))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(held):
            signal.raise_signal(number)


def _unwind(number: int, _frame: FrameType | None) -> None:
    if not _armed:  # disarmed in another thread, which may not change handlers: act as the default
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    raise SystemExit(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
