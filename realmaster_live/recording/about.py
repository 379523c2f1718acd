"""Where a recording comes from: meta.json, read and written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.frames.source_info import SourceInfo, upgraded
from realmaster_live.recording.files import as_described, in_one_line, read_json, write_json
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.system.host import describe_host
from realmaster_live.system.inside import plain_name

META = "meta.json"
SCENE = "scene.jsonl"  # minitown's state log, where there is one: frames can be traced from it
FORMAT = "realmaster-recording"
FORMAT_VERSION = 3
READABLE = (2, 3)  # version 2 had no town and weather of each frame
MOST_PIXELS = 32768  # a side
FILM_KINDS, LABEL_KINDS = (".mp4", ".mkv"), (".arrow",)
CLASS_MAP = "carla"  # `classes.CLASS_NAMES`


@dataclass(frozen=True, kw_only=True)
class About:
    """Facts about a recording that its pictures do not show.

    Attributes:
        engine: name of the engine. engine_sha256: of its weights, "" where it has none.
        source: what the frames came from, as of the end or, while recording, as of now.
        policy: the drop policy of the run. seed: of the town or the scenario.
        town, route, weather: what data sets are split by. Like `seed` and `licence` they are
            taken from `source` where they are not given.
        licence: of what was recorded. engine_licence: of the weights.
    """

    engine: str = ""
    engine_sha256: str = ""
    source: SourceInfo = field(default_factory=SourceInfo)
    policy: str = "block"
    seed: int | None = None
    town: str = ""
    route: str = ""
    weather: str = ""
    licence: str = ""
    engine_licence: str = ""

    def __post_init__(self) -> None:
        """Fill in from the source what was not given."""
        source = self.source
        for name, value in (
            ("town", source.town),
            ("route", source.route),
            ("weather", source.weather_words),
            ("licence", source.licence),
        ):
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        if self.seed is None:
            object.__setattr__(self, "seed", source.seed)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera of a recording.

    Attributes:
        width, height: pixels.
        streams: "sim", "real" or a label's name -> file name in the camera's folders.
    """

    width: int
    height: int
    streams: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The content of meta.json.

    Attributes:
        cameras: by name, in the order in which they came. spec: the engine's chunks.
        complete: False while recording, and until it is repaired if the process was killed.
        frames: of all cameras; 0 until complete. lost_frames: missing between them.
        segments: names of the finished ones. rotation: when a segment ends.
        towns, weathers: of its segments' first frames, each once, in the order in which they came.
        road_maps: town -> name of its OpenDRIVE file, where the source gave it; see `road_maps`.
        class_map: what the class numbers mean.
        created: UTC. software: our version. host: the machine, and the memory used once complete.
        repaired: UTC, when an interrupted recording was finished; "" for others.
    """

    about: About
    spec: ChunkSpec
    cameras: Mapping[str, Camera]
    created: str
    complete: bool = False
    frames: int = 0
    lost_frames: int = 0
    segments: tuple[str, ...] = ()
    rotation: Mapping[str, Any] = field(default_factory=dict)
    towns: tuple[str, ...] = ()
    weathers: tuple[str, ...] = ()
    road_maps: Mapping[str, str] = field(default_factory=dict)
    class_map: str = CLASS_MAP
    software: str = field(default_factory=lambda: f"realmaster-live {version('realmaster-live')}")
    host: Mapping[str, Any] = field(default_factory=describe_host)
    repaired: str = ""

    def with_conditions(self, town: str, weather: str) -> Meta:
        """Return a copy that lists a town and a weather, unless it does already."""
        return replace(
            self,
            towns=tuple(dict.fromkeys((*self.towns, *filter(None, [town])))),
            weathers=tuple(dict.fromkeys((*self.weathers, *filter(None, [weather])))),
        )

    def write(self, folder: Path) -> None:
        """Replace meta.json in one step."""
        write_json(folder / META, {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Meta:
        """Return the content of meta.json.

        Raises:
            RecordingError: it is missing, damaged, or of a version that we do not know.
        """
        path = folder / META
        if not path.exists():
            raise RecordingError(
                f"expected {path}, got no such file: give the folder that a recording was made in"
            )
        content = read_json(path)
        if content.get("format") != FORMAT:
            raise _damaged(path, "another kind of file")
        _check_version(path, content)
        try:
            meta = as_described(_upgraded(content), cls)
            _check_names(meta)
        except (RecordingError, ValueError) as error:
            raise _damaged(path, error) from error
        return meta


def _upgraded(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content with its source in today's format."""
    about = content.get("about")
    if not isinstance(about, dict) or not isinstance(about.get("source"), dict):
        return content
    return {**content, "about": {**about, "source": upgraded(about["source"])}}


def _check_names(meta: Meta) -> None:
    """Refuse names that would lead to other files than a recorder writes."""
    for name, camera in meta.cameras.items():
        plain_name(name, "a camera name", error=RecordingError)
        if not (0 < camera.width <= MOST_PIXELS and 0 < camera.height <= MOST_PIXELS):
            raise ValueError(f"{name} of {camera.width}x{camera.height} pixels")
        for stream, file in camera.streams.items():
            kinds = LABEL_KINDS if stream in PACKINGS else FILM_KINDS
            known = stream in PACKINGS or stream in ("sim", "real")
            if not known or file not in {f"{stream}{kind}" for kind in kinds}:
                raise ValueError(f"the stream {stream!r} of {name} in a file {file!r}")
    for name in meta.road_maps.values():
        if re.fullmatch(r"[0-9a-f]{16}\.xodr", name) is None:
            raise ValueError(f"a road map {name!r}")
    for segment in meta.segments:
        if re.fullmatch(r"[0-9]{6,12}", segment) is None:
            raise ValueError(f"a segment {segment!r}")
    if meta.frames < 0 or not math.isfinite(meta.spec.fps):
        raise ValueError(f"{meta.frames} frames at {meta.spec.fps} fps")


def _check_version(path: Path, content: Mapping[str, Any]) -> None:
    got = content.get("version")
    if got in READABLE:
        return
    software = in_one_line(content.get("software", "an unknown release"))[:80]
    older = isinstance(got, int) and got < FORMAT_VERSION
    raise RecordingError(
        f"expected version {FORMAT_VERSION} in {path}, got {got!r:.80}: "
        + (
            f"it was made by an older release, so record again or read it with {software}"
            if older
            else f"install the release that wrote it, {software}"
        )
    )


def _damaged(path: Path, got: object) -> RecordingError:
    return RecordingError(
        f"expected the description of a recording in {path}, got {got}: restore the file from a "
        "copy or record again"
    )
