"""Records the drives of a recipe one after another; the same command goes on where it was left."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from realmaster_live.collect.recipe import PlannedDrive, Recipe
from realmaster_live.collect.stage import check_names, send_walkers, set_stage
from realmaster_live.errors import BridgeError, ConfigError, RecordingError, reason
from realmaster_live.recording.about import META, Meta
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.texts import read_object

log = logging.getLogger(__name__)

# hidden, so that DIR/* are the drives that are complete
NOTE = ".collection.json"  # what all drives of a folder have in common
UNFINISHED = ".{name}.part"
INTERRUPTED = ".interrupted"
LATE_S = 60.0  # the longest wait for a frame


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What became of the drives of a recipe.

    Attributes:
        recorded, kept: names of drives that this run recorded, and that an earlier run had.
        failed: name -> reason.
        set_aside: folders of drives that were interrupted, which are recorded anew.
    """

    recorded: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str]
    set_aside: tuple[Path, ...]


def is_recorded(folder: Path) -> bool:
    """Return whether a drive is there as a whole.

    Raises:
        RecordingError: there is something else in its place.
    """
    if not folder.exists():
        return False
    if not (folder / META).exists():
        raise RecordingError(
            f"expected a recording or nothing at {folder}, got something else: move it away"
        )
    return Meta.read(folder).complete


def collect(
    recipe: Recipe,
    drives: tuple[PlannedDrive, ...],
    out: Path,
    *,
    say: Callable[[str], None],
) -> Collected:
    """Record every drive that is not there yet.

    A drive is recorded in .NAME.part, which becomes NAME when it is complete. What an interrupted
    run left is moved to .interrupted/NAME-1 and so on, never deleted. A drive that fails is
    reported, and the next one begins.

    Args:
        recipe: settings of all drives.
        drives: from `plan_drives`.
        out: folder of the recordings.
        say: is told what goes on.

    Raises:
        ConfigError: the folder was begun with other settings, or the recipe names what the server
            does not have.
        RecordingError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    note = _checked_note(recipe, out)
    kept = [drive.name for drive in drives if is_recorded(out / drive.name)]
    check_names(recipe, [drive for drive in drives if drive.name not in kept])
    recorded, failed, aside = [], {}, []
    with _Engines(recipe) as engines:
        for number, drive in enumerate(drives, start=1):
            if drive.name in kept:
                continue
            say(f"drive {number} of {len(drives)}: {drive.name}")
            part = out / UNFINISHED.format(name=drive.name)
            if part.exists():
                aside.append(_set_aside(part, drive.name))
                say(f"an interrupted recording was kept in {aside[-1]}")
            try:
                _record(recipe, drive, part, engines)
            except BridgeError as error:
                failed[drive.name] = str(error)
                say(f"{drive.name} failed: {error}")
                continue
            _keep_note(note, out)  # a recipe of which nothing was recorded may be changed
            part.rename(out / drive.name)
            recorded.append(drive.name)
    return Collected(
        recorded=tuple(recorded), kept=tuple(kept), failed=failed, set_aside=tuple(aside)
    )


class _Engines:
    """The engines of all cameras, loaded when the first drive needs them."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._loaded: dict[str, Any] = {}

    def __enter__(self) -> _Engines:
        return self

    def __exit__(self, *exception: object) -> None:
        from realmaster_live.engines.cameras import close_engines

        close_engines(self._loaded)

    def loaded(self) -> dict[str, Any]:
        from realmaster_live.engines.cameras import load_engines

        if not self._loaded:
            cameras = self._recipe.cameras().cameras
            self._loaded = load_engines(
                self._recipe.engine,
                {camera.name: (camera.width, camera.height) for camera in cameras},
                fps=self._recipe.fps,
            )
        return self._loaded


def _record(recipe: Recipe, drive: PlannedDrive, folder: Path, engines: _Engines) -> None:
    """Record one drive into a new folder."""
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.bridges.carla.route_driver import RouteSource
    from realmaster_live.live.described import DescribedSource, Facts
    from realmaster_live.live.progress import run_with_progress
    from realmaster_live.protocols import Source
    from realmaster_live.recording import Recorder

    rig = recipe.cameras()
    facts = Facts(
        route=None if drive.route is None else drive.route.name,
        seed=drive.seed,
        licence=recipe.licence or None,
    )
    ready = engines.loaded()
    with (
        set_stage(recipe, drive) as stage,
        CarlaBridge(
            stage.host,
            stage.port,
            ego=stage.ego,
            rig=rig,
            sensors=recipe.sensors,
            fixed_delta_s=1.0 / recipe.fps,
            timeout_s=LATE_S,
        ) as bridge,
    ):
        send_walkers(bridge.session.world, stage, drive.seed)
        source: Source = bridge if drive.route is None else RouteSource(bridge, drive.route)
        run_with_progress(
            drive.name,
            DescribedSource(source, facts),
            ready,
            [Recorder(folder)],
            policy="block",
            seconds=drive.seconds,
        )


def _set_aside(part: Path, name: str) -> Path:
    folder = part.parent / INTERRUPTED
    folder.mkdir(exist_ok=True)
    number = 1
    while (place := folder / f"{name}-{number}").exists():
        number += 1
    part.rename(place)
    return place


def _checked_note(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Return what all drives of a folder have in common; refuse one begun with other settings."""
    settings = {name: value for name, value in asdict(recipe).items() if name != "drives"}
    settings = dict(json.loads(json.dumps(settings, default=str)))
    for name in ("seconds", "server", "load_s"):  # each drive has its own; the server may move
        settings.pop(name)
    path = out / NOTE
    if not path.exists():
        return settings
    remedy = "collect into another folder"
    before = read_object(
        path, what="the settings of a collection", remedy=remedy, error=ConfigError
    )
    for name, value in settings.items():
        if before.get(name) != value:
            raise ConfigError(
                f"expected {name} {before.get(name)} as in {path}, got {value}: {remedy}, or put "
                "the recipe back"
            )
    return settings


def _keep_note(settings: Mapping[str, Any], out: Path) -> None:
    path = out / NOTE
    if path.exists():
        return
    try:
        write_bytes(path, (json.dumps(settings, indent=1) + "\n").encode())
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> RecordingError:
    return RecordingError(f"expected to write in {out}, got {reason(error)}: choose another --out")
