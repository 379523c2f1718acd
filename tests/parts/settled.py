"""A client's own state of the world may be some ticks old: wait until it is up to date."""

import queue
from collections.abc import Sequence

from waiting import until


def settle(world) -> None:
    """Wait until the state that a client has is newer than everything that anybody did before."""
    settings = world.get_settings()
    frame = world.apply_settings(settings)  # the same ones: the server answers with its frame
    if settings.synchronous_mode:
        world.tick(30.0)
    else:
        until(lambda: world.get_snapshot().frame > frame, "the world stands still")


def actors_of(world) -> Sequence:
    """Return all actors of a world that nobody else ticks."""
    settle(world)
    return list(world.get_actors())


def until_silent(world, images):
    """Tick until no image comes any more: `stop` returns before the server has heard of it."""
    for _ in range(20):
        world.tick()
        try:
            images.get(timeout=0.5)
        except queue.Empty:
            return
    raise AssertionError("a stopped camera goes on")
