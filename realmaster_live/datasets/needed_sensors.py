"""Recordings that lack a sensor which an export was asked to have."""

from __future__ import annotations

from collections.abc import Sequence

from realmaster_live.errors import ConfigError
from realmaster_live.frames.rig_sensors import SENSOR_KINDS
from realmaster_live.recording import Recording


def check_sensors(name: str, recording: Recording, needed: Sequence[str], export: str) -> None:
    """Check that a recording has readings of all sensors that are needed, by name or kind.

    Args:
        name: of the drive, in the message.
        recording: the drive's recording.
        needed: names or kinds of sensors.
        export: name of the format, in the message.

    Raises:
        ConfigError: one is missing; the message names the flag that records it.
    """
    if not needed:
        return
    counts = {sensor: count for sensor, count in recording.sensor_counts.items() if count}
    kinds = recording.info.sensors
    known = {*counts, *(kinds[sensor].kind for sensor in counts if sensor in kinds)}
    missing = [sensor for sensor in needed if sensor not in known]
    if not missing:
        return
    ours = [sensor for sensor in missing if sensor in SENSOR_KINDS]
    others = [sensor for sensor in missing if sensor not in SENSOR_KINDS]
    remedies = [f"record again with --sensors {','.join(ours)}"] if ours else []
    if others:
        remedies.append(
            f"name a kind in place of {', '.join(others)} ({', '.join(SENSOR_KINDS)}, control) or "
            "a [[sensor]] of a rig file"
        )
    raise ConfigError(
        f"expected readings of {', '.join(missing)} in {name} for an export to {export}, got "
        f"{', '.join(counts) or 'no sensor'}: {', and '.join(remedies)}; or leave it out of --needs"
    )
