"""An orderly end for a process that is sent a signal: signals unwind the stack, clean-up runs.

Only a signal whose action is still the default one is taken over: it then raises SystemExit with
128 + its number in the main thread, so `with` and `finally` run; further ones do not interrupt that
clean-up. A program's own handlers and ignored signals stay as they are. The last one who lets go
puts the defaults back.
"""

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
_lock = threading.RLock()
_holders: list[object] = []
_unwinding = threading.Event()  # set from the first signal on, until all holders let go


class ExitGuard:
    """Calls `undo` on every way out of the process that Python can see.

    Guards may overlap. Armed outside the main thread, a guard can only use atexit.
    """

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo = undo

    def arm(self) -> None:
        """Start guarding."""
        atexit.register(self._undo)
        _take_signals(self)

    def disarm(self) -> None:
        """Stop guarding; may be called twice and from any thread."""
        atexit.unregister(self._undo)
        _release(self)


@contextmanager
def termination_raises() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit inside the block."""
    holder = object()
    _take_signals(holder)
    try:
        yield
    finally:
        _release(holder)


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


def _take_signals(holder: object) -> None:
    with _lock:
        _holders.append(holder)
        if _in_main_thread():
            for number in _FATAL:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _unwind)


def _release(holder: object) -> None:
    with _lock:
        if holder in _holders:
            _holders.remove(holder)
        if not _holders and _in_main_thread():
            _unwinding.clear()
            for number in _FATAL:
                if signal.getsignal(number) is _unwind:
                    signal.signal(number, signal.SIG_DFL)


def _unwind(number: int, _frame: FrameType | None) -> None:
    if not _holders:  # let go in another thread, which may not change handlers: act as the default
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    if not _unwinding.is_set():  # a second signal must not break off the clean-up of the first
        _unwinding.set()
        raise SystemExit(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
