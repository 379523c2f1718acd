"""Recordings as a data set of Hugging Face's `datasets`, streamed or stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Unpack

import numpy as np

from realmaster_live.datasets.frame_items import FrameItems, Item
from realmaster_live.datasets.frame_query import FrameQuery, QueryOptions, Recordings
from realmaster_live.datasets.selection import PICTURES
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.system.pictures import encode

PIECE = 64  # frames in a row that one worker reads
ARRAYS = {"instance": "int32", "depth": "float32", "flow": "float32"}


def hugging_face(
    recordings: Recordings,
    *,
    streaming: bool = True,
    encoding: Literal["png", "jpg"] = "png",
    **query: Unpack[QueryOptions],
) -> Any:
    """Return a `datasets.IterableDataset`, or a stored `datasets.Dataset`, of single frames.

    Pictures and `semantic` are of the feature Image, instance and depth of Array2D, flow of
    Array3D, boxes lists of structures.

    Args:
        recordings: a folder, several, or a pattern such as "drives/*".
        streaming: read the recordings while iterating; otherwise all frames are stored in the cache
            of `datasets` first.
        encoding: of the pictures: PNG keeps what was recorded, JPEG is smaller and faster.
        query: which frames, and what of them, as FrameDataset takes it; no windows.

    Raises:
        RecordingError: a recording cannot be read.
        ConfigError: the recordings do not have what is asked for, or arrays of several sizes.
        MissingDependency: `datasets` is not installed.
    """
    datasets = require("datasets", extra="huggingface")
    items = FrameItems(FrameQuery.of(recordings, **query))
    if items.query.window != 1:
        raise ConfigError(f"expected window of 1, got {items.query.window}: leave it out")
    count = len(items)
    kind = datasets.IterableDataset if streaming else datasets.Dataset
    return kind.from_generator(
        _examples,
        features=_features(datasets, items),
        gen_kwargs={
            "items": items,
            "encoding": encoding,
            "pieces": [(at, min(at + PIECE, count)) for at in range(0, count, PIECE)],
        },
    )


def _examples(
    items: FrameItems, encoding: str, pieces: list[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Yield the frames of some pieces; `datasets` deals the list out to its workers."""
    for start, stop in pieces:
        for place in range(start, stop):
            (frame,) = items.frames(place)
            yield {name: _example(name, value, encoding) for name, value in frame.items()}


def _example(name: str, value: Any, encoding: str) -> Any:
    if name in ("image", "sim", "real"):
        return {"bytes": encode(value, f".{encoding}"), "path": None}
    if name == "semantic":
        return {"bytes": encode(value, ".png"), "path": None}
    if isinstance(value, dict):
        counted = range(len(value["labels"]))
        return [{key: column[row] for key, column in value.items()} for row in counted]
    if isinstance(value, np.ndarray) and name not in ARRAYS:
        return value.tolist()
    return value


def _features(datasets: Any, items: FrameItems) -> Any:
    """Return the Features of the frames."""
    query = items.query
    sizes = {drive.size(camera) for drive in items.drives for camera in drive.cameras}
    arrays = [name for name in query.labels if name in ARRAYS]
    if arrays and len(sizes) > 1:
        found = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise ConfigError(
            f"expected pictures of one size for {', '.join(arrays)}, got {found}: choose cameras "
            "of one size, or leave those labels out"
        )
    width, height = next(iter(sizes))
    matrix = {"intrinsics": 3, "cam_to_world": 4, "ego_to_world": 4}
    features: Item = {}
    for kind in PICTURES[query.pictures]:
        features["image" if query.pictures != "paired" else kind] = datasets.Image()
    for name in query.labels:
        if name == "semantic":
            features[name] = datasets.Image()
        elif name == "flow":
            features[name] = datasets.Array3D((height, width, 2), ARRAYS[name])
        elif name in ARRAYS:
            features[name] = datasets.Array2D((height, width), ARRAYS[name])
        else:
            features[name] = datasets.List(_box_features(datasets, name))
    features |= dict.fromkeys(("recording", "camera", "town", "weather"), datasets.Value("string"))
    features |= {"frame_id": datasets.Value("int64"), "timestamp": datasets.Value("float64")}
    features |= {name: datasets.Array2D((size, size), "float64") for name, size in matrix.items()}
    return datasets.Features(features)


def _box_features(datasets: Any, name: str) -> Item:
    """Return the features of one box."""
    number = datasets.Value("float32")
    shared = {
        "labels": datasets.Value("int64"),
        "ignored": datasets.Value("bool"),
        "object_ids": datasets.Value("int64"),
        "mask_ids": datasets.Value("int64"),
    }
    if name == "boxes_2d":
        own = {
            "boxes": datasets.List(number, length=4),
            "occlusion": number,
            "truncation": number,
            "distance_m": number,
        }
    else:
        own = {
            "size": datasets.List(number, length=3),
            "object_to_camera": datasets.Array2D((4, 4), "float32"),
            "velocity": datasets.List(number, length=3),
        }
    return own | shared
