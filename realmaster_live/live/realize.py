"""The drop-in camera: one line that makes a user's own CARLA camera photoreal."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmaster_live.protocols import Engine

if TYPE_CHECKING:
    from realmaster_live.bridges.carla.realized_camera import RealizedCamera
    from realmaster_live.feeds.realizing import Realizing
    from realmaster_live.feeds.shared_engines import SharedEngines


def realize(
    camera: Any,
    *,
    engine: Engine | str = "embedded",
    policy: str = "hold",
    size: tuple[int, int] | None = None,
    prompt: str | None = None,
    record: str | Path | None = None,
) -> RealizedCamera:
    """Return an object that behaves as `camera`, a carla rgb sensor, and delivers photoreal images.

    Its `listen` hands out the simulator's own carla.Image objects with only their pixels replaced.
    An engine given by name is loaded here, shares its weights with those of other cameras of the
    same size, and is closed by `destroy`; an Engine object stays the caller's.

    Args:
        camera: a spawned `sensor.camera.rgb`.
        engine: an Engine, or the name or folder of one.
        policy: what comes while a chunk is not realized yet: `hold` (every image at once, with the
            newest photoreal pixels), `delay` (its own pixels, late), `lockstep` (see
            `tick_in_lockstep`), `frame` (each image realized alone) or `two_pass`.
        size: the engine's (width, height) in pixels; the camera's own, rounded, by default.
        prompt: the weather or look to show, of an engine given by name.
        record: with `two_pass`, the new folder for the recording that `stop` realizes.
    """
    from realmaster_live.bridges.carla.realized_camera import RealizedCamera, picture_format
    from realmaster_live.feeds.realizing import Realizing

    if not isinstance(engine, str):
        return RealizedCamera(camera, engine, policy=policy, record=record)
    width, height, fps = picture_format(camera)
    realizing = Realizing(engine=engine, size=size, prompt=prompt)
    engines = _shared(realizing)
    loaded = engines.engine_for(*realizing.size_for(width, height), fps)

    def give_back() -> None:
        engines.release(loaded)

    try:
        return RealizedCamera(camera, loaded, policy=policy, record=record, on_destroy=give_back)
    except BaseException:
        give_back()
        raise


@cache
def _shared(realizing: Realizing) -> SharedEngines:
    """Return the engines of all cameras that are realized alike in this process."""
    return realizing.engines()
