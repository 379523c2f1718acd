"""The films that other methods made of a drive: files of video, or recordings of the same drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.recording import Recording
from realmaster_live.recording.about import META
from realmaster_live.recording.sample import Sample
from realmaster_live.replay import video_files

Picture = NDArray[np.uint8]  # (H, W, 3) sRGB
Maker = Callable[[Sample], Picture | None]  # None: the film lacks that frame
RENDER, COLOUR_TRANSFER, REALIZED = "render", "colour transfer", "realized"
OWN_NAMES = (RENDER, COLOUR_TRANSFER, REALIZED)
SEED_MARK = "#"  # between a method's name and what tells its films apart


@dataclass(frozen=True, kw_only=True)
class OtherFilm:
    """A film that another method made of the same drive.

    Attributes:
        name: of the method, with the film's seed behind "#" where it has several films.
        path: of a video of the drive's frames in order, or of a recording, whose realized
            pictures are aligned by frame number.
        drive: number of the drive among those that are evaluated; None where there is one.
    """

    name: str
    path: Path
    drive: int | None = None


def method_of(name: str) -> str:
    """Return the method that a film's name stands for: "vace" of "vace#2"."""
    return name.partition(SEED_MARK)[0]


def other_films(texts: Sequence[str]) -> list[OtherFilm]:
    """Return what texts of the form NAME=FILE or NAME#SEED=FILE name.

    Raises:
        ConfigError: one has another form, or a name that is taken.
    """
    films: list[OtherFilm] = []
    for text in texts:
        name, _, path = (part.strip() for part in text.partition("="))
        if not method_of(name) or not path or name in {*OWN_NAMES, *(film.name for film in films)}:
            raise ConfigError(
                f"expected a film as NAME=FILE, with a name of its own beside "
                f"{', '.join(OWN_NAMES)}, got {text!r}: write such as vace=vace.mp4, or "
                "vace#1=a.mp4 and vace#2=b.mp4 for the seeds of one method"
            )
        films.append(OtherFilm(name=name, path=Path(path)))
    return films


def first_frames(seconds: float | None, fps: float, count: int) -> int:
    """Return how many frames of a drive of `count` are measured: all, or its first seconds."""
    return count if seconds is None else min(max(2, round(seconds * fps)), count)


def open_film(
    film: OtherFilm, size: tuple[int, int], count: int, measured: int | None = None
) -> Maker:
    """Return what gives a film's picture of each sample; samples come once and in order.

    A video shows all `count` frames of the drive, or the first ones, as many as are `measured`.

    Raises:
        ConfigError: it has another size than the drive, or as a video another number of frames.
        PairError, RecordingError: it cannot be played.
    """
    if (film.path / META).exists():
        return _by_frame_id(film.path, size)
    facts = video_files.describe(film.path)
    got = ((facts.width, facts.height), len(facts.times))
    if got not in ((size, count), (size, measured)):
        raise ConfigError(
            f"expected {film.path} to have the drive's {count} frames of {size[0]}x{size[1]}, got "
            f"{got[1]} of {got[0][0]}x{got[0][1]}: give a film of the same render, frame by frame, "
            "or a recording, which is aligned by frame number"
        )
    pictures = video_pictures(film.path)

    def following(_sample: Sample) -> Picture:
        picture = next(pictures, None)
        if picture is None:
            raise PairError(f"expected a picture a frame in {film.path}, got fewer: encode it anew")
        return picture

    return following


def video_pictures(path: Path) -> Iterator[Picture]:
    """Yield the pictures of a video; PairError names the frame that cannot be read."""
    count = len(video_files.describe(path).times)
    pictures = video_files.pictures(path)
    for index in range(count):
        try:
            yield next(pictures)
        except PairError as error:
            raise PairError(
                f"expected {count} playable frames in {path}, got damage at frame {index}: restore "
                "the file from a copy, or encode it anew"
            ) from error


def some_pictures(film: OtherFilm, count: int) -> Iterator[Picture]:
    """Yield about so many pictures of a film, evenly over it."""
    if not (film.path / META).exists():
        total = len(video_files.describe(film.path).times)
        every = max(1, total // count)
        for index, picture in enumerate(video_pictures(film.path)):
            if index % every == 0:
                yield picture
        return
    with Recording(film.path) as recording:
        camera, every = recording.cameras[0], max(1, len(recording) // count)
        for sample in recording.samples(camera, streams=("real",), every=every):
            assert sample.real is not None  # the stream was asked for
            yield sample.real


def _by_frame_id(folder: Path, size: tuple[int, int]) -> Maker:
    """Return what gives a recording's realized picture of the same frame number."""
    recording = Recording(folder)
    camera = recording.cameras[0]
    seen = recording.meta.cameras[camera]
    if (seen.width, seen.height) != size:
        raise ConfigError(
            f"expected {folder} to have the drive's pictures of {size[0]}x{size[1]}, got "
            f"{seen.width}x{seen.height}: realize the same drive at its own size"
        )
    if "real" not in recording.streams(camera):
        raise ConfigError(
            f"expected realized pictures in {folder}, got rendered ones only: replay it through "
            "an engine first"
        )
    samples = recording.samples(camera, streams=("real",))
    latest: list[Sample] = []

    def same(sample: Sample) -> Picture | None:
        while not latest or latest[0].frame_id < sample.frame_id:
            following = next(samples, None)
            if following is None:
                return None
            latest[:] = [following]
        return latest[0].real if latest[0].frame_id == sample.frame_id else None

    return same
