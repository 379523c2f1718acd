"""Requests of a client that wait while it loads a world.

libcarla drops its episode as soon as `load_new_episode` is answered, and has the next one from the
answer to `get_episode_info` on. Its Traffic Manager's thread reads the episode meanwhile, and the
process ends by a segmentation fault. That thread nearly always waits for an answer of ours, so it
gets none until `get_sensor_token` comes, which the next episode asks for.
"""

from __future__ import annotations

import time

from realmaster_live.bridges.carla.wire.rpc import Request

NEEDED = {"version", "get_episode_info", "get_sensor_token"}  # by whoever loads
LAST = "get_sensor_token"
LONGEST_S = 1.0  # clients of other versions keep their episode and do not ask
MOST = 256


class HeldRequests:
    """The requests of one connection that wait, in their order."""

    def __init__(self) -> None:
        self._held: list[Request] | None = None
        self._until_s = 0.0

    @property
    def timeout_s(self) -> float | None:
        """How long they wait at most from now on; None where none do."""
        return None if self._held is None else max(0.0, self._until_s - time.monotonic())

    def begin(self) -> None:
        """Hold what comes from now on."""
        self._held = self._held or []
        self._until_s = time.monotonic() + LONGEST_S

    def takes(self, request: Request) -> bool:
        """Return whether a request has to wait; it is kept then."""
        if self._held is None or request.name in NEEDED or len(self._held) >= MOST:
            return False
        self._held.append(request)
        return True

    def released(self, answered: str = LAST) -> list[Request]:
        """Return the requests whose turn has come once a call is answered."""
        if self._held is None or answered != LAST:
            return []
        held, self._held = self._held, None
        return held
