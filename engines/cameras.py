"""Engines for the cameras of a rig: weights are in memory once for all cameras of a size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from realmaster_live.engines.load import load_engine
from realmaster_live.engines.siblings import SiblingRig
from realmaster_live.protocols import PromptedEngine, SharingEngine

Size = tuple[int, int]  # width and height in pixels


def load_engines(
    name: str,
    sizes: Mapping[str, Size],
    *,
    together: bool = True,
    spare: Collection[str] = (),
    wrap: Callable[[PromptedEngine], Any] = lambda engine: engine,
    **options: Any,
) -> dict[str, Any]:
    """Return camera -> its engine, as `run` takes them.

    Cameras of one size have one RigEngine, under all of their names. Unless `together`, they have
    an engine each, which share their weights if they can.

    Args:
        name: of the engine, as for `load_engine`.
        sizes: camera -> its size.
        together: whether the cameras of a size are realized together. With `guidance` none are.
        spare: cameras that have an engine each in any case, as `run` may leave them out.
        wrap: makes of each engine what is returned; closing that closes the engine.
        **options: those of `load_engine`.

    Raises:
        ConfigError, EngineError, BuildError: as `load_engine` and `wrap` do; nothing stays open.
    """
    groups: dict[Size, list[str]] = {}
    for camera, size in sizes.items():
        groups.setdefault(size, []).append(camera)
    engines: dict[str, Any] = {}
    try:
        for (width, height), cameras in groups.items():
            options |= {"width": width, "height": height}
            first: Any = None  # whose weights the others of this size share
            if together and options.get("guidance") is None:
                rig = [camera for camera in cameras if camera not in spare]
                if rig:
                    first = load_engine(name, cameras=len(rig), **options)
                    engines |= dict.fromkeys(rig, _wrapped(first, wrap))
                cameras = [camera for camera in cameras if camera in spare]
            for camera in cameras:
                is_batch = getattr(first, "cameras", 1) > 1 and not isinstance(first, SiblingRig)
                if isinstance(first, SharingEngine) and not is_batch:
                    other: Any = first.sibling()
                else:
                    other = first = load_engine(name, **options)
                engines[camera] = _wrapped(other, wrap)
    except BaseException:
        close_engines(engines)
        raise
    return {camera: engines[camera] for camera in sizes}


def close_engines(engines: Mapping[str, Any]) -> None:
    """Close engines that `load_engines` returned, each once."""
    for engine in {id(engine): engine for engine in engines.values()}.values():
        engine.close()


def _wrapped(engine: PromptedEngine, wrap: Callable[[PromptedEngine], Any]) -> Any:
    """Return what `wrap` makes of an engine, which is closed if that fails."""
    try:
        return wrap(engine)
    except BaseException:
        engine.close()
        raise
