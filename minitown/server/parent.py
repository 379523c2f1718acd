"""Ends a server together with the process that started it, even one that was killed."""

from __future__ import annotations

import os
import signal
import threading
import time

POLL_S = 0.5
GRACE_S = 10.0  # to end in order after SIGTERM


def exit_with_parent(pid: int) -> None:
    """Send this process SIGTERM once its parent is no longer `pid`; returns at once.

    Where the system does not hand orphans to another parent (Windows), nothing happens.
    """
    threading.Thread(target=_watch, args=(pid,), name="minitown-parent", daemon=True).start()


def _watch(pid: int) -> None:
    while os.getppid() == pid:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
