"""The drop-in camera: one line that makes a user's own CARLA camera photoreal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realmaster_live.protocols import Engine

if TYPE_CHECKING:
    from realmaster_live.bridges.carla.realized_camera import RealizedCamera


def realize(
    camera: Any, *, engine: Engine | str = "embedded", policy: str = "delay"
) -> RealizedCamera:
    """Return an object that behaves as `camera`, a carla rgb sensor, and delivers photoreal images.

    Its `listen` hands out the simulator's own carla.Image objects with only their pixels replaced,
    up to one chunk late. An engine given by name is loaded here and closed by `destroy`; an Engine
    object stays the caller's.

    Args:
        camera: a spawned `sensor.camera.rgb` of a size that the engine takes.
        engine: an Engine, or the name or folder of one.
        policy: `delay`, the only one there is.
    """
    from realmaster_live.bridges.carla.realized_camera import RealizedCamera, picture_format

    if not isinstance(engine, str):
        return RealizedCamera(camera, engine, policy=policy)
    from realmaster_live.engines.load import load_engine

    width, height, fps = picture_format(camera)
    loaded = load_engine(engine, width=width, height=height, fps=fps)
    try:
        return RealizedCamera(camera, loaded, policy=policy, close_engine=True)
    except BaseException:
        loaded.close()
        raise
