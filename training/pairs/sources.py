"""The pixels of a clip, cut out of where it comes from: recordings, pairs, videos, pictures.

Pictures are cut to the clip's aspect around their centre and made smaller by areas; labels by
their nearest pixel, so no class or depth arises that was not there. Up to 15 pixels a side are
rather cut than resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import LABEL_DTYPES, Frame
from realmaster_live.recording import Recording
from realmaster_live.recording.about import META
from realmaster_live.replay.footage import Reading
from realmaster_live.replay.game_source import LAYOUTS, open_game
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.video_files import pictures
from realmaster_live.system.pictures import read_picture
from realmaster_live.training.data import open_array
from realmaster_live.training.pairs.stage import Clip

MULTIPLE = 16  # of a clip's width and height


def read_frames(clip: Clip) -> NDArray[np.uint8]:
    """Return the rendered frames of a clip, (T, H, W, 3) RGB.

    Raises:
        PairError: they are damaged, missing, or not all of one size.
    """
    return _fitted(clip, _pictures(clip))


def read_truth(clip: Clip) -> NDArray[np.uint8]:
    """Return the photoreal frames that the source itself holds, (T, H, W, 3) RGB.

    Raises:
        PairError: the source has none.
    """
    if not clip.truth:
        raise PairError(
            f"expected a source with a truth of its own for {clip.clip_id}, got {clip.source} "
            "without: edit anchors and propagate them"
        )
    return _fitted(clip, iter(_array(clip, "truth")))


def read_label(clip: Clip, name: str) -> NDArray[Any]:
    """Return a label of every frame, (T, H, W) or (T, H, W, 2), of the dtypes in LABEL_DTYPES.

    Flow stays in pixels of the clip and is there only for clips of stride 1.

    Raises:
        PairError: the source has no such label.
    """
    if name not in clip.labels or (name == "flow" and clip.stride > 1):
        have = ", ".join(clip.labels) or "no labels"
        raise PairError(
            f"expected the label {name} of {clip.clip_id}, got {have} at stride {clip.stride}: "
            "record with it, or choose a stage that does without"
        )
    labels: Iterator[NDArray[Any]]
    if clip.kind in LAYOUTS:
        labels = (frame.labels[name] for frame in _game(clip, (name,)))
    else:
        labels = iter(_array(clip, name)) if clip.kind == "pairs" else _recorded(clip, name)
    return np.stack([_nearest(x, clip.height, clip.width, name) for x in labels]).astype(
        LABEL_DTYPES[name]
    )


def open_recording(source: Path, *, verify: bool = True) -> Recording:
    """Return the recording of a source, of one camera: a folder, or FOLDER/CAMERA of several."""
    if (source / META).exists():
        return Recording(source, verify=verify)
    return Recording(source.parent, cameras=[source.name], verify=verify)


def source_exists(source: Path) -> bool:
    """Return whether a source still exists."""
    return source.exists() or (source.parent / META).exists()


def span(clip: Clip) -> range:
    """Return the indices of a clip's frames within its source."""
    return range(clip.first, clip.first + clip.frames * clip.stride, clip.stride)


def window(
    height: int, width: int, to_height: int, to_width: int
) -> tuple[int, int, int, int]:  # top, left, height, width
    """Return the centred part of a picture that becomes a clip's frame."""
    if 0 <= height - to_height < MULTIPLE and 0 <= width - to_width < MULTIPLE:
        rows, columns = to_height, to_width
    else:
        scale = min(height / to_height, width / to_width)
        rows, columns = round(to_height * scale), round(to_width * scale)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _fitted(clip: Clip, pictures: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    frames = np.empty((clip.frames, clip.height, clip.width, 3), np.uint8)
    size = None
    for index, picture in enumerate(pictures):
        size = size or picture.shape
        if picture.shape != size:
            raise PairError(
                f"expected pictures of one size in {clip.source}, got {picture.shape[:2]} after "
                f"{size[:2]} at frame {clip.first + index * clip.stride}: plan it again"
            )
        height, width, _ = picture.shape
        top, left, rows, columns = window(height, width, clip.height, clip.width)
        part = picture[top : top + rows, left : left + columns]
        if part.shape == frames.shape[1:]:
            frames[index] = part
        else:
            frames[index] = cv2.resize(part, frames.shape[2:0:-1], interpolation=cv2.INTER_AREA)
    return frames


def _nearest(label: NDArray[Any], to_height: int, to_width: int, name: str) -> NDArray[Any]:
    height, width = label.shape[:2]
    top, left, rows, columns = window(height, width, to_height, to_width)
    down = top + ((np.arange(to_height) + 0.5) * rows / to_height).astype(int)
    across = left + ((np.arange(to_width) + 0.5) * columns / to_width).astype(int)
    small: NDArray[Any] = label[down[:, None], across]
    return small * [to_width / columns, to_height / rows] if name == "flow" else small


def _pictures(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    source = Path(clip.source)
    match clip.kind:
        case "recording":
            return _recorded(clip, "sim")
        case "video":
            return pictures(source, span(clip))
        case "pairs":
            return iter(_array(clip, "sim"))
        case "images":
            paths = list_pictures(source)
            _check_length(clip, len(paths))
            wanted = span(clip)
            return map(read_picture, islice(paths, wanted.start, wanted.stop, wanted.step))
        case layout if layout in LAYOUTS:
            return (frame.image for frame in _game(clip, ()))
    raise PairError(
        f"expected a source of kind recording, pairs, video, images or "
        f"{', '.join(LAYOUTS)}, got {clip.kind!r} for {clip.clip_id}: plan again with this version"
    )


def _game(clip: Clip, labels: tuple[str, ...]) -> Iterator[Frame]:
    """Yield the frames of a clip of a game's recording, with some labels."""
    drive, _ = open_game(clip.kind, Path(clip.source), Reading(labels=labels))
    _check_length(clip, len(drive))
    frames: Iterator[Frame] = drive.frames(span(clip))
    return frames


def _recorded(clip: Clip, stream: str) -> Iterator[NDArray[Any]]:
    """Yield pictures or labels of a recording; the plan compared it with its hashes."""
    recording = open_recording(Path(clip.source), verify=False)
    wanted = span(clip)
    left = len(wanted)
    for picture in recording.pictures(recording.cameras[0], stream, wanted):
        left -= 1
        yield picture
    if left:
        raise PairError(
            f"expected frame {wanted[-1]} in {clip.source}, got {left} frames too few: plan again"
        )


def _array(clip: Clip, name: str) -> NDArray[Any]:
    path = Path(clip.source).with_suffix(f".{name}.npy")
    array = open_array(path)
    _check_length(clip, len(array))
    wanted = span(clip)
    part: NDArray[Any] = array[wanted.start : wanted.stop : wanted.step]
    return part


def _check_length(clip: Clip, length: int) -> None:
    if span(clip)[-1] >= length:
        raise PairError(
            f"expected frame {span(clip)[-1]} in {clip.source}, got {length} frames: plan again"
        )
