"""Reels: the consecutive frames of one camera in a folder or file, and the gaps in them.

Five kinds: a recording, a pair of a render and its truth, a video, a folder of pictures, and a
recording that a harness made of GTA-V, whose kind is the name of its layout. A video
`drive.mp4` may have a `drive.json` beside it, and a folder of pictures an `about.json` in it, with
any of town, route, weather, seed, prompt, licence and (for pictures) fps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError, RecordingError
from realmaster_live.frames.chunk import LABEL_DTYPES
from realmaster_live.frames.weather import describe_weather
from realmaster_live.recording.about import META, Meta
from realmaster_live.replay import video_files as videos
from realmaster_live.replay.footage import Reading
from realmaster_live.replay.game_source import LAYOUTS, PICKLED, find_games, open_game
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.sidecar import read_sidecar
from realmaster_live.training.data import AS_SIMULATED, read_clip
from realmaster_live.training.pairs.captions import sun_of
from realmaster_live.training.pairs.sources import open_recording
from realmaster_live.training.pairs.stage import Origin

JUMP = 1.5  # times the usual step between two frames: something is missing
SIM = ".sim.npy"


@dataclass(frozen=True, kw_only=True)
class Reel(Origin):
    """Consecutive frames of one camera, as their source describes them.

    Attributes:
        path: as Clip.source. kind: as Clip.kind.
        sizes: (T, 2) width and height of every frame, pixels; (0, 0) where it cannot be read.
        fps: frames a second; None where unknown.
        breaks: index of a frame -> why no clip may hold both it and the frame before it.
        unreadable: index of a frame -> why no clip may hold it.
        speeds: (T,) of the camera, metres a second; None where unknown.
        sun_deg: the sun's height above the horizon, degrees; None where unknown.
    """

    path: Path
    kind: str
    sizes: NDArray[np.int64]
    fps: float | None
    breaks: Mapping[int, str] = field(default_factory=dict)
    unreadable: Mapping[int, str] = field(default_factory=dict)
    speeds: NDArray[np.float64] | None = None
    sun_deg: float | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.sizes)

    @property
    def name(self) -> str:
        """Return its name."""
        return self.path.name if self.path.is_dir() else self.path.stem


def find_reels(path: Path) -> list[tuple[str, Path]]:
    """Return kind and path of everything below a path that can be cut into clips, in order."""
    if path.is_file():
        if path.suffix.lower() in videos.SUFFIXES:
            return [("video", path)]
        if path.suffix == PICKLED:
            return find_games(path, deep=False)
        is_pair = path.suffix == ".json" and path.with_suffix(SIM).exists()
        return [("pairs", path)] if is_pair else []
    if not path.is_dir():
        return []
    if (path / META).exists():
        return [("recording", source) for source in _cameras(path)]
    inside = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    pairs = [child for child in inside if child.name.endswith(SIM)]
    if pairs:
        return [
            ("pairs", child.with_name(child.name.removesuffix(SIM) + ".json")) for child in pairs
        ]
    games = find_games(path, deep=False)
    if games:
        return games
    found = [("images", path)] if list_pictures(path) else []
    for child in inside:
        found += find_reels(child)
    return found


def describe(kind: str, path: Path) -> Reel:
    """Return the reel of a path that `find_reels` found.

    Raises:
        PairError, RecordingError: it is damaged, unfinished, or of another kind.
    """
    if kind in LAYOUTS:
        return _game(kind, path)
    makers = {"recording": _recording, "pairs": _pair, "video": _video, "images": _images}
    return makers[kind](path)


def _cameras(folder: Path) -> list[Path]:
    """Return the sources in a recording: itself, or FOLDER/CAMERA for each of several."""
    try:
        cameras = Meta.read(folder).cameras
    except RecordingError:
        return [folder]  # `describe` raises the error
    return [folder / name for name in cameras] if len(cameras) > 1 else [folder]


def _recording(path: Path) -> Reel:
    recording = open_recording(path)
    about, spec = recording.meta.about, recording.meta.spec
    recording.check()
    camera = recording.cameras[0]
    rows, described = recording.table("frames", camera), recording.meta.cameras[camera]
    stamps = np.array(rows["timestamp"].to_pylist(), np.float64)
    dropped = rows["dropped_before"].to_pylist()
    length = len(recording)
    poses = np.array(rows["cam_to_world"].to_pylist(), np.float64).reshape(-1, 4, 4)
    fps = _rate(stamps) or spec.fps
    route = path.parent.name if path.name == camera else path.name
    facts = {
        "town": about.town,
        "route": about.route,
        "weather": about.weather,
        "licence": about.licence,
        "seed": about.seed,
    }
    gaps = {i: f"a gap of {n} frames at {i}" for i, n in enumerate(dropped) if n > 0}
    return Reel(
        path=path,
        kind="recording",
        sizes=np.tile([described.width, described.height], (length, 1)),
        fps=fps,
        breaks={**_jumps(stamps), **gaps},
        unreadable={i: "the recording was cut short" for i in range(length, len(stamps))},
        speeds=np.linalg.norm(np.diff(poses[:, :3, 3], axis=0, prepend=poses[:1, :3, 3]), axis=1)
        * fps,
        labels=tuple(recording.labels),
        **_provenance(dict(about.source.details) | facts, route=route),
    )


def _pair(path: Path) -> Reel:
    if not path.exists():
        raise PairError(
            f"expected {path.name} beside {path.stem}{SIM}, got none, so the clip is not finished: "
            "let the renderer finish it"
        )
    clip = read_clip(path)
    facts, (height, width) = clip.facts, clip.size
    labels = (name for name in LABEL_DTYPES if path.with_suffix(f".{name}.npy").exists())
    town = f"minitown-{clip.seed}"
    shown = {} if clip.prompt == AS_SIMULATED else {"weather": clip.prompt}
    return Reel(
        path=path,
        kind="pairs",
        sizes=np.tile([width, height], (len(clip), 1)),
        fps=round(1.0 / positive(facts["dt"], "dt"), 3) if "dt" in facts else None,
        labels=tuple(labels),
        truth=True,
        **_provenance({"town": town, **facts, **shown}, route=str(facts.get("number", path.stem))),
    )


def _video(path: Path) -> Reel:
    facts = videos.describe(path)
    length = len(facts.times)
    return Reel(
        path=path,
        kind="video",
        sizes=np.tile([facts.width, facts.height], (length, 1)),
        fps=facts.fps,
        breaks=_jumps(facts.times),
        unreadable={length + i: "the file is damaged or cut short" for i in range(facts.missing)},
        **_provenance(read_sidecar(path), route=path.stem),
    )


def _images(path: Path) -> Reel:
    pictures = list_pictures(path)
    facts = read_sidecar(path)
    sizes, unreadable = np.zeros((len(pictures), 2), np.int64), {}
    for index, picture in enumerate(pictures):
        try:
            picture_facts = videos.describe(picture)
        except PairError:
            unreadable[index] = f"the picture {picture.name} is damaged"
        else:
            sizes[index] = picture_facts.width, picture_facts.height
    changes = np.flatnonzero((sizes[1:] != sizes[:-1]).any(axis=1)) + 1
    return Reel(
        path=path,
        kind="images",
        sizes=sizes,
        fps=positive(facts["fps"], "fps") if "fps" in facts else None,
        breaks={int(i): f"another size, {sizes[i][0]}x{sizes[i][1]}, at {i}" for i in changes},
        unreadable=unreadable,
        **_provenance(facts, route=path.name),
    )


def _game(layout: str, path: Path) -> Reel:
    drive, facts = open_game(layout, path, Reading())
    gaps = np.flatnonzero(drive.missing_before)
    return Reel(
        path=path,
        kind=layout,
        sizes=np.tile(np.array(drive.size), (len(drive), 1)),
        fps=facts["fps"],
        breaks={int(i): f"a gap of {drive.missing_before[i]} frames at {i}" for i in gaps},
        labels=drive.labels,
        **_provenance(facts, route=drive.name),
    )


def _provenance(facts: Mapping[str, Any], *, route: str) -> dict[str, Any]:
    """Return where and when a reel was recorded, as fields of a Reel."""
    seed = facts.get("seed")
    try:
        seed = None if seed is None else int(np.int64(seed))
    except (TypeError, ValueError, OverflowError) as error:
        raise PairError(f"expected a whole number for its seed, got {error}") from error
    return {
        "town": str(facts.get("town") or facts.get("map") or "").rpartition("/")[2],
        "route": str(facts.get("route") or route),
        "weather": describe_weather(facts.get("weather")),
        "sun_deg": sun_of(facts.get("weather")),
        "seed": seed,
        "prompt": str(facts.get("prompt") or ""),
        "licence": str(facts.get("licence") or ""),
    }


def positive(value: Any, name: str) -> float:
    """Return a number that a description gives, if it is one above 0."""
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise PairError(
            f"expected a number above 0 for {name}, got {value!r}: mend its description"
        )
    return float(value)


def _rate(times: NDArray[np.float64]) -> float | None:
    """Return the frames a second of most steps; None of fewer than two frames."""
    if len(times) < 2:
        return None
    step = float(np.median(np.diff(times)))
    return round(1.0 / step, 3) if step > 0 else None


def _jumps(times: NDArray[np.float64]) -> dict[int, str]:
    rate = _rate(times)
    if rate is None:
        return {}
    steps = np.diff(times) * rate
    odd = np.flatnonzero((steps > JUMP) | (steps <= 0)) + 1
    return {int(i): f"a jump of {times[i] - times[i - 1]:.2f} s at {i}" for i in odd}
