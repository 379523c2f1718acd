"""Engines for several cameras: one set of weights for all cameras of a size."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from realmaster_live.protocols import Engine, SharingEngine

log = logging.getLogger(__name__)
_Format = tuple[int, int, float]  # pixels, pixels, frames a simulated second


class SharedEngines:
    """Loads an engine for the first camera of a format, and shares its weights with the others.

    Args:
        load: returns an engine for a width, a height and a frame rate.
    """

    def __init__(self, load: Callable[[int, int, float], Engine]) -> None:
        self._load = load
        self._open: dict[_Format, list[Engine]] = {}
        self._lock = threading.Lock()

    def engine_for(self, width: int, height: int, fps: float) -> Engine:
        """Return an engine for one camera; it has a past of its own. Raises what loading raises."""
        with self._lock:
            engines = self._open.setdefault((width, height, fps), [])
            first = engines[0] if engines else None
            if isinstance(first, SharingEngine):
                engine: Engine = first.sibling()
            else:
                engine = self._load(width, height, fps)
                if engines:
                    log.warning(
                        "%s cannot share its weights: %d cameras of %dx%d hold a copy each",
                        type(engine).__name__,
                        len(engines) + 1,
                        width,
                        height,
                    )
            engines.append(engine)
            return engine

    def release(self, engine: Engine) -> None:
        """Close an engine that a camera no longer needs; may be called twice."""
        with self._lock:
            for engines in self._open.values():
                engines[:] = [one for one in engines if one is not engine]
        engine.close()

    def close(self) -> None:
        """Close all engines; may be called twice."""
        with self._lock:
            engines = [engine for every in self._open.values() for engine in every]
            self._open.clear()
        for engine in engines:
            engine.close()
