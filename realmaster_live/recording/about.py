"""Where a recording comes from: meta.json, read and written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from realmaster_live.chunk import ChunkSpec
from realmaster_live.errors import RecordingError
from realmaster_live.host import describe_host

META = "meta.json"
SCENE = "scene.jsonl"  # minitown's state log, where there is one: frames can be traced from it
FORMAT = "realmaster-recording"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class About:
    """What the pictures alone do not tell.

    Attributes:
        engine: name of the engine. engine_sha256: of its weights, "" where it has none.
        source: what the simulator says of itself: kind, map, weather, version and so on.
        policy: the drop policy of the run. seed: of the town or the scenario.
    """

    engine: str = ""
    engine_sha256: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    policy: str = "block"
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The content of meta.json.

    Attributes:
        camera: its name. spec: the engine's chunks.
        streams: name ("sim", "real", or a label's) -> file name.
        complete: False while recording, and for ever if the process was killed.
        frames: how many were recorded; 0 until complete. lost_frames: missing between them.
        sha256: file name -> of the finished file.
        created: UTC. software: our version. host: the machine.
    """

    about: About
    camera: str
    spec: ChunkSpec
    streams: Mapping[str, str]
    created: str
    complete: bool = False
    frames: int = 0
    lost_frames: int = 0
    sha256: Mapping[str, str] = field(default_factory=dict)
    software: str = field(default_factory=lambda: f"realmaster-live {version('realmaster-live')}")
    host: Mapping[str, Any] = field(default_factory=describe_host)

    def write(self, folder: Path) -> None:
        """Replace meta.json in one step."""
        content = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self)}
        part = folder / f"{META}.part"
        try:
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            part.replace(folder / META)
        except OSError as error:
            raise RecordingError(
                f"expected to write {folder / META}, got {error}: free some disk space or record "
                "elsewhere"
            ) from error

    @classmethod
    def read(cls, folder: Path) -> Meta:
        """Return the content of meta.json.

        Raises:
            RecordingError: it is missing, damaged, or of a version that we do not know.
        """
        path = folder / META
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RecordingError(
                f"expected {path}, got no such file: give the folder that a recording was made in"
            ) from error
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise _damaged(path, "another kind of file")
        if content["version"] != FORMAT_VERSION:
            raise RecordingError(
                f"expected version {FORMAT_VERSION} in {path}, got {content['version']}: install "
                f"the release that wrote it ({content.get('software')})"
            )
        try:
            values = {name: content[name] for name in cls.__dataclass_fields__}
            values["about"] = About(**values["about"])
            values["spec"] = ChunkSpec(**values["spec"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, repr(error)) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, got: object) -> RecordingError:
    return RecordingError(
        f"expected the description of a recording in {path}, got {got}: restore the file from a "
        "copy or record again"
    )
