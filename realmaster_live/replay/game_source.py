"""Recordings that harnesses made of GTA-V, as footage; `bridges/gtav/readers` reads them.

`about.json` where a recording begins, or beside it in its drive, may say fps, near_m, vfov_deg,
size (width and height), licence, and where it is from; it takes precedence over the
recording itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.protocols import Source
from realmaster_live.replay.footage import Footage, FootageSource, Reading, hash_files
from realmaster_live.replay.sidecar import read_sidecar

LAYOUTS = ("presil", "visionexport", "sailvos", "viper", "vpilot")
PICKLED = ".pz"


def find_games(path: Path, *, deep: bool) -> list[tuple[str, Path]]:  # layout, path
    """Return the drives of a recording: a .pz file, or what lies in a folder, or `deep` below."""
    if not path.is_dir():
        return [("vpilot", path)] if path.suffix == PICKLED and path.is_file() else []
    from realmaster_live.bridges.gtav.readers import DEEPEST, find_drives

    return find_drives(path, DEEPEST if deep else 0)


def open_game(layout: str, path: Path, reading: Reading) -> tuple[Any, dict[str, Any]]:
    """Return a Drive of the readers, and the facts about it.

    Raises:
        PairError: it is damaged, or holds less than reading it takes.
    """
    from realmaster_live.bridges.gtav import readers as gtav_readers
    from realmaster_live.bridges.gtav.readers.drive import ReadOptions

    reader = gtav_readers.layout(layout)
    facts = {**read_sidecar(reader.home(path)), **read_sidecar(path)}
    size = facts.get("size")
    options = ReadOptions(
        near_m=facts.get("near_m"),
        vfov_deg=facts.get("vfov_deg"),
        size=(size[0], size[1]) if size else None,
        size_hint=reading.size,
        labels=reading.labels,
    )
    drive = reader.open_drive(path, options)
    return drive, {
        "simulator": "gtav",
        "layout": layout,
        "route": drive.name,
        "licence": drive.licence,
        **drive.facts,
        **facts,
        "fps": reading.fps or facts.get("fps") or drive.fps,
    }


def describe_game(layout: str, path: Path, reading: Reading) -> Footage:
    """Return what a drive says of itself.

    Raises:
        PairError: it is damaged. ConfigError: its frames a second are not known.
    """
    drive, facts = open_game(layout, path.resolve(), reading)
    fps = facts.pop("fps")
    if not fps:
        raise ConfigError(
            f"expected the frames a second of {path}, which it does not say, got none: give "
            '--fps, or write {"fps": 20} to an about.json in it'
        )
    return Footage(
        kind="game",
        name=drive.name,
        path=str(path.resolve()),
        cameras={"front": drive.size},
        fps=fps,
        frames=len(drive),
        sha256=hash_files(*drive.files),
        origin=facts,
        options={"layout": layout},
    )


def game_source(footage: Footage, reading: Reading) -> Source:
    """Return the frames of a drive."""
    drive, _ = open_game(footage.options["layout"], Path(footage.path), reading)
    return FootageSource(footage, lambda footage: drive.frames(fps=footage.fps))


def expected_files() -> str:
    """Return what a folder of a recording has in it, for an error's sentence."""
    from realmaster_live.bridges.gtav import readers as gtav_readers

    return ", ".join(gtav_readers.LAYOUTS.values())
