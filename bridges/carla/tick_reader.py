"""Makes or awaits a world's ticks, and says why one does not come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from realmaster_live.bridges.carla import diagnosis
from realmaster_live.bridges.carla.attachment import Attachment, Detached
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.bridges.carla.ticker import CHECK_S, Ticker
from realmaster_live.bridges.frame_join import BridgeClosed
from realmaster_live.errors import BridgeError, FrameTimeout

log = logging.getLogger(__name__)

SETTLE_WAIT_S = 0.05  # a new sensor's stream is connected a moment after listen() returns
LATE_S = 1.0  # images of our own tick that take longer make us ask for their cameras

Taken = TypeVar("Taken")


class TickReader:
    """Reads the ticks of one attachment at a time; `attachment` is replaced after a reload.

    Every wait ends with a frame, with `Detached` where the ego or a camera is gone, with
    `BridgeClosed`, or with an error that names the cause.

    Args:
        session: attached to the server.
        we_tick: whether each tick is made here.
        timeout_s: longest wait for a tick and for its images.
    """

    def __init__(self, session: CarlaSession, *, we_tick: bool, timeout_s: float) -> None:
        self.attachment: Attachment | None = None
        self.we_tick, self.timeout_s = we_tick, timeout_s
        self._session = session
        self._closed = threading.Event()
        self._ticker = Ticker()
        self._last_tick: int | None = None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """Wake whoever waits and end the ticking; may be called twice and from any thread."""
        self._closed.set()
        if self.attachment is not None:
            self.attachment.join.close()
        # A tick under way ends within the client's own timeout.
        self._ticker.close(
            server_is_up=self._session.is_reachable(), timeout_s=self.timeout_s + 1.0
        )

    def detach(self) -> None:
        """Stop reading the present attachment: another takes its place."""
        if self.attachment is not None:
            self.attachment.abandon()
        self._last_tick = None

    def pause(self, wait_s: float) -> None:
        """Wait; raises BridgeClosed as soon as `close` is called."""
        if self._closed.wait(wait_s):
            raise BridgeClosed

    def tick(self) -> int:
        """Advance the world and return the number of the frame that this makes."""
        self.pause(0.0)
        try:
            tick_id = self._ticker.tick(self._session.world, self.timeout_s, self.check)
        except RuntimeError as error:
            self.check()
            raise self.explain() from error
        if self._last_tick is not None and tick_id != self._last_tick + 1:
            self.check()
            if not self._session.world.get_settings().synchronous_mode:
                raise self.explain()
            log.warning("frame %d follows %d: another client ticks too", tick_id, self._last_tick)
        self._last_tick = tick_id
        return tick_id

    def take(self) -> tuple[int, Mapping[str, Any]]:
        """Return the next frame's number and what all senders delivered for it."""
        attachment = self._attached
        join = attachment.join
        if self.we_tick:
            tick_id = self.tick()
            items: Mapping[str, Any] = self._wait(lambda wait_s: join.take(tick_id, wait_s))
        else:
            tick_id, items = self._wait(join.take_next)
        attachment.has_delivered = True
        if not attachment.ego_is_in(items["world"]):
            raise Detached(attachment.ego)
        return tick_id, items

    def settle(self) -> None:
        """Tick until every camera has delivered one and the same frame."""
        deadline = time.monotonic() + self.timeout_s
        wait_s = SETTLE_WAIT_S
        while True:
            self.tick()
            try:
                self._attached.join.take_next(wait_s)
            except FrameTimeout as error:
                self.check()
                if time.monotonic() > deadline:
                    raise self.explain() from error
                wait_s = min(2.0 * wait_s, self.timeout_s)
            else:
                self._attached.has_delivered = True
                return

    def await_sensors(self) -> None:
        """Wait until each of the ego's sensors has delivered; those that do not are named."""
        sensors = self._attached.sensors
        deadline = time.monotonic() + self.timeout_s
        while sensors is not None and (silent := sensors.silent()):
            if time.monotonic() > deadline:
                log.warning(
                    "expected readings of %s within %g s, got none: they are recorded as missing "
                    "until they come",
                    ", ".join(silent),
                    self.timeout_s,
                )
                return
            if self.we_tick:
                self.tick()
            self.check()
            self.pause(SETTLE_WAIT_S)

    def measure_step(self) -> float:
        """Return the simulated seconds from one frame to the next in a world that others tick."""
        fixed_s = self._session.world.get_settings().fixed_delta_seconds
        deadline = time.monotonic() + self.timeout_s
        while (step_s := self._attached.step_s(fixed_s)) is None:
            self.pause(SETTLE_WAIT_S)
            if not self._session.is_reachable() or time.monotonic() > deadline:
                raise self.explain()
        return step_s

    def check(self) -> None:
        """Raise what ends a wait at once, of what can be read without asking the server."""
        session = self._session
        self.pause(0.0)
        if not session.is_reachable():
            raise diagnosis.server_gone(session)
        if session.was_reloaded():
            raise Detached(None)
        lost = None if self.attachment is None else self.attachment.lost_actor()
        if lost is not None:
            raise Detached(lost)

    def explain(self) -> BridgeError:
        """Return the error for a wait that ended without a frame."""
        attachment = self.attachment
        return diagnosis.explain(
            self._session,
            attachment,
            we_tick=self.we_tick,
            waited_s=self.timeout_s,
            silent=() if attachment is None else attachment.join.silent(),
        )

    @property
    def _attached(self) -> Attachment:
        assert self.attachment is not None  # nobody reads before there is one
        return self.attachment

    def _wait(self, take: Callable[[float], Taken]) -> Taken:
        """Return what `take` gives; ends early where a check finds that it will never come."""
        began = time.monotonic()
        query_at = began + LATE_S
        while True:
            left = began + self.timeout_s - time.monotonic()
            try:
                return take(max(0.0, min(CHECK_S, left)))
            except FrameTimeout as error:
                self.check()
                if left <= 0.0:
                    raise self.explain() from error
            if self.we_tick and time.monotonic() >= query_at:
                self._query_actors()
                query_at = time.monotonic() + LATE_S

    def _query_actors(self) -> None:
        """Raise Detached where the server no longer has the ego or a camera.

        The client sees the world as of the last tick. What is destroyed after our tick, while its
        images are drawn, is therefore missed by every check: the images never come, and nobody else
        makes the tick that would show it. A tick of ours does, and also shows that a world was
        loaded meanwhile.
        """
        for actor in self._attached.actors:
            if self._session.has(actor, diagnosis.ANSWER_S) is False:
                self.tick()
                self.check()
                raise Detached(actor)
