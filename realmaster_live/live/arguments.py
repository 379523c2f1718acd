"""What `run` and `realize` are given, checked before anything starts: one sentence for a mix-up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from realmaster_live.errors import ConfigError


def check_source(source: Any) -> None:
    """Raise ConfigError for what gives no frames."""
    _check(source, "a source", ("frames", "close"), "give a CarlaBridge, a GtavBridge or another")


def check_engines(engine: Any) -> None:
    """Raise ConfigError for what is neither an engine nor a mapping of engines by camera."""
    if isinstance(engine, Mapping) and not engine:
        raise ConfigError("expected an engine for each camera, got none: give one by its name")
    for one in engine.values() if isinstance(engine, Mapping) else (engine,):
        realizes = "realize_together" if hasattr(one, "realize_together") else "realize"
        remedy = "give what realmaster_live.load_engine returns"
        if isinstance(one, str):
            remedy = f"give realmaster_live.load_engine({one!r})"
        _check(one, "an engine", ("spec", realizes, "reset"), remedy)


def check_sinks(sinks: Any) -> None:
    """Raise ConfigError for what is no sequence of sinks."""
    if isinstance(sinks, str) or not isinstance(sinks, Sequence):
        raise ConfigError(f"expected a list of sinks, got {described(sinks)}: put it in a list")
    for sink in sinks:
        remedy = "give a Recorder, a LiveView or another"
        if isinstance(sink, str):
            remedy = f"give realmaster_live.open_sink({sink!r})"
        _check(sink, "a sink", ("write", "close"), remedy)


def check_limits(max_frames: Any, seconds: Any) -> None:
    """Raise ConfigError for limits that no run can keep; None is no limit."""
    for name, value, bound in (("max_frames", max_frames, "1 or more"), ("seconds", seconds, None)):
        if value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or math.isnan(value) or value <= 0 or (bound and value < 1):
            raise ConfigError(
                f"expected {name} {f'of {bound}' if bound else 'above 0'}, got {value!r}: or leave "
                "it out"
            )


def check_spare(spare: Any, engine: Any) -> None:
    """Raise ConfigError unless spare cameras have engines of their own, beside others."""
    if not spare:
        return
    names = set(spare) if not isinstance(spare, str) else {spare}
    engines = engine if isinstance(engine, Mapping) else {}
    if isinstance(spare, str) or not names < set(engines):
        raise ConfigError(
            f"expected spare cameras that are some of {', '.join(engines) or 'a rig'}, got "
            f"{', '.join(map(str, sorted(names)))}: leave one that is always realized"
        )
    shared = [name for name in names if getattr(engines[name], "cameras", 1) > 1]
    if shared:
        raise ConfigError(
            f"expected an engine of its own for the spare camera {shared[0]!r}, got one for "
            f"{engines[shared[0]].cameras} cameras: give load_engines the same spare cameras"
        )


def described(value: Any) -> str:
    """Return a value as an error names it: texts and numbers as they are, others by their type."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def _check(value: Any, wanted: str, names: Iterable[str], remedy: str) -> None:
    missing = [name for name in names if not hasattr(value, name)]
    if isinstance(value, type):
        raise ConfigError(f"expected {wanted}, got {described(value)}: make one of it")
    if missing:
        raise ConfigError(
            f"expected {wanted}, got {described(value)}, which has no {' and no '.join(missing)}: "
            f"{remedy}"
        )
