"""One stream of a segment: pictures are stored as video, labels as Arrow files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from realmaster_live.recording.decoders import read_pictures
from realmaster_live.recording.labels import LabelWriter, count_labels, cut_labels, read_label
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.readable import Readable
from realmaster_live.recording.videos import (
    Pictures,
    PictureWriter,
    count_pictures,
    cut_video,
    decodable_pictures,
    read_video,
)

LABELS = ".arrow"


def file_of(stream: str, pictures: Pictures) -> str:
    """Return the file name of a stream: "sim", "real" or a label's name."""
    return f"{stream}{LABELS}" if stream in PACKINGS else f"{stream}.{pictures.container}"


def open_stream(
    path: Path, stream: str, size: tuple[int, int], fps: float, pictures: Pictures
) -> PictureWriter | LabelWriter:
    """Return the writer of a new file."""
    if stream in PACKINGS:
        return LabelWriter(path, stream, size)
    return PictureWriter(path, size, fps, pictures)


def read_stream(
    path: Path,
    stream: str,
    wanted: Sequence[int] | None = None,  # ascending indices; all by default
    fps: float = 0.0,  # needed with `wanted`
) -> Iterator[NDArray[Any]]:
    """Yield pictures, (H, W, 3) uint8 sRGB, or labels.

    Raises:
        RecordingError: the file cannot be read, or only up to some picture.
    """
    if stream in PACKINGS:
        return read_label(path, stream, wanted)
    return read_video(path) if wanted is None else read_pictures(path, wanted, fps)


def count(path: Path) -> Readable:
    """Return how many pictures a file holds, without decoding videos."""
    return count_labels(path) if path.suffix == LABELS else count_pictures(path)


def decodable(path: Path) -> Readable:
    """Return how many pictures can be decoded from the beginning on, without a flaw."""
    return count_labels(path) if path.suffix == LABELS else decodable_pictures(path)


def cut(path: Path, keep: int) -> None:
    """Keep the first pictures of a file, replacing it in one step.

    Raises:
        RecordingError: the file cannot be written, or has fewer pictures.
    """
    (cut_labels if path.suffix == LABELS else cut_video)(path, keep)
