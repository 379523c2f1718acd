"""Policy `lockstep`: one tick of a program runs through a whole chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from realmaster_live.errors import FrameTimeout
from realmaster_live.feeds.feed import CameraFeed

LOCKSTEP_S = 30.0  # how long a tick in lockstep waits for an image, and for the engine


def tick_through(
    tick: Callable[[], int],
    feeds: Sequence[CameraFeed],
    *,
    timeout_s: float = LOCKSTEP_S,
    delivered: bool = True,
) -> int:
    """Tick until every feed's chunk is whole; return the last frame's number.

    Cameras that began to listen at different ticks fall into step: the chunk of one that is not
    whole by then is filled up with its last picture. `delivered` waits for the realized images.
    Without feeds this is one tick.

    Raises:
        FrameTimeout: an image, or the realized chunk, did not come within `timeout_s`.
    """
    for _ in range(max((feed.missing for feed in feeds), default=1)):
        frame = tick()
        for feed in feeds:
            if not feed.wait(frame, timeout_s):
                raise FrameTimeout(
                    f"expected the image of frame {frame} of {feed.name} within {timeout_s:g} s, "
                    "got none: lockstep needs a camera that draws in every tick"
                )
    for feed in feeds:
        feed.flush()
        if delivered and not feed.wait(frame, timeout_s, delivered=True):
            raise FrameTimeout(
                f"expected frame {frame} of {feed.name} realized within {timeout_s:g} s, got none: "
                "the engine is slower than that, or stuck"
            )
    return frame
