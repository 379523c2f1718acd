"""The files of LeRobot's layout v3.0 beside the videos: data, episodes, tasks, statistics, info.

Names, columns and defaults follow huggingface/lerobot 0.4.4, src/lerobot/datasets/utils.py and
lerobot_dataset.py. Each episode has files of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.folder import ExportFolder
from realmaster_live.datasets.lerobot_stats import colour_stats, column_stats
from realmaster_live.datasets.options import SPLITS, Split
from realmaster_live.optional import require
from realmaster_live.system.atomic_files import part_of, settle

pa: Any = require("pyarrow", extra="live")
parquet: Any = require("pyarrow.parquet", extra="live")

CODEBASE_VERSION = "v3.0"
FILES_A_CHUNK = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
STATE = ("speed_m_s", "yaw_rate_rad_s", "forward_m", "left_m", "yaw_rad")
ACTION = ("forward_m", "left_m", "yaw_rad")
# with recorded controls
DRIVEN_STATE = (
    *STATE, "acceleration_forward_m_s2", "acceleration_left_m_s2", "acceleration_up_m_s2",
)  # fmt: skip
DRIVEN_ACTION = ("throttle", "steer", "brake", "hand_brake", "reverse")
TYPES = {
    "timestamp": pa.float32(),
    "frame_index": pa.int64(),
    "episode_index": pa.int64(),
    "index": pa.int64(),
    "task_index": pa.int64(),
    "simulator.frame_id": pa.int64(),
    "simulator.timestamp": pa.float64(),
}


@dataclass(frozen=True, kw_only=True)
class Episode:
    """An uninterrupted part of a drive.

    Attributes:
        split: the episode's split. task: a description of the task.
        state, action: one row for each frame, with the columns of its Shape.
        frame_ids, timestamps: the simulator's frame numbers and seconds.
        video: number of the video files that hold its pictures.
        colours: feature name -> (3, 256) counts of colour values.
        counted: number of pictures that `colours` counts.
    """

    split: Split
    task: str
    state: list[list[float]]
    action: list[list[float]]
    frame_ids: list[int]
    timestamps: list[float]
    video: int
    colours: Mapping[str, list[list[int]]]
    counted: int

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frame_ids)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What all episodes share: frames a second, and feature name -> (width, height).

    With `controls`, actions are what the vehicle was told, otherwise how it moved.
    """

    fps: int
    sizes: Mapping[str, tuple[int, int]]
    controls: bool = False

    @property
    def vectors(self) -> dict[str, tuple[str, ...]]:
        """Feature name -> names of its columns."""
        return {
            "observation.state": DRIVEN_STATE if self.controls else STATE,
            "action": DRIVEN_ACTION if self.controls else ACTION,
        }

    @property
    def types(self) -> dict[str, Any]:
        """Column of data/ -> its Arrow type."""
        vectors = {n: pa.list_(pa.float32(), len(names)) for n, names in self.vectors.items()}
        return {**vectors, **TYPES}


def place(number: int) -> dict[str, int]:
    """Return the chunk and file index of a file's number."""
    return {"chunk_index": number // FILES_A_CHUNK, "file_index": number % FILES_A_CHUNK}


def write_meta(folder: ExportFolder, episodes: Sequence[Episode], shape: Shape) -> None:
    """Write data/ and meta/ for episodes that are sorted by split."""

    def place_of(name: str) -> Path:
        return folder.written.claim(folder.out / name)

    tasks = list(dict.fromkeys(episode.task for episode in episodes))
    _write_table(place_of("meta/tasks.parquet"), _tasks(tasks))
    rows, first = [], 0
    columns = []
    for number, episode in enumerate(episodes):
        values = _columns(episode, number, first, tasks.index(episode.task), shape.fps)
        columns.append(values)
        arrays = [pa.array(_plain(values[name]), kind) for name, kind in shape.types.items()]
        table = pa.Table.from_arrays(arrays, names=list(shape.types))
        _write_table(place_of(DATA_PATH.format(**place(number))), table)
        rows.append(_episode_row(episode, number, first, values, shape))
        first += len(episode)
    path = place_of("meta/episodes/chunk-000/file-000.parquet")
    _write_table(path, pa.Table.from_pylist(rows))
    training = [number for number, episode in enumerate(episodes) if episode.split == "train"]
    numbers = training or range(len(episodes))
    stats: dict[str, Any] = {
        name: column_stats(np.concatenate([columns[number][name] for number in numbers]))
        for name in shape.types
    }
    for key in shape.sizes:
        colours = [np.array(episodes[number].colours[key]) for number in numbers]
        pictures = sum(episodes[number].counted for number in numbers)
        stats[key] = colour_stats(np.sum(colours, axis=0), pictures)
    _write_json(place_of("meta/stats.json"), stats)
    _write_json(place_of("meta/info.json"), _info(episodes, tasks, shape))


def _columns(
    episode: Episode, number: int, first: int, task: int, fps: int
) -> dict[str, NDArray[Any]]:
    count = np.arange(len(episode))
    return {
        "observation.state": np.array(episode.state, np.float32),
        "action": np.array(episode.action, np.float32),
        "timestamp": (count / fps).astype(np.float32),
        "frame_index": count,
        "episode_index": np.full(len(episode), number),
        "index": count + first,
        "task_index": np.full(len(episode), task),
        "simulator.frame_id": np.array(episode.frame_ids, np.int64),
        "simulator.timestamp": np.array(episode.timestamps),
    }


def _episode_row(
    episode: Episode, number: int, first: int, values: Mapping[str, NDArray[Any]], shape: Shape
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "episode_index": number,
        "tasks": [episode.task],
        "length": len(episode),
        **{f"data/{name}": value for name, value in place(number).items()},
        "dataset_from_index": first,
        "dataset_to_index": first + len(episode),
    }
    stats = {name: column_stats(column) for name, column in values.items()}
    for key in shape.sizes:
        row |= {f"videos/{key}/{name}": value for name, value in place(episode.video).items()}
        row[f"videos/{key}/from_timestamp"] = 0.0
        row[f"videos/{key}/to_timestamp"] = len(episode) / shape.fps
        stats[key] = colour_stats(np.array(episode.colours[key]), episode.counted)
    for name, values_of in stats.items():
        row |= {f"stats/{name}/{kind}": value for kind, value in values_of.items()}
    return row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}


def _tasks(tasks: Sequence[str]) -> Any:
    """Return a table that pandas reads with the tasks' descriptions as its index."""
    index = "__index_level_0__"
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), index: list(tasks)})
    described = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64",
         "numpy_type": "int64", "metadata": None},
        {"name": None, "field_name": index, "pandas_type": "unicode", "numpy_type": "object",
         "metadata": None},
    ]  # fmt: skip
    pandas = {"index_columns": [index], "column_indexes": [], "columns": described}
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def _info(episodes: Sequence[Episode], tasks: Sequence[str], shape: Shape) -> dict[str, Any]:
    splits, first = {}, 0
    for split in SPLITS:
        count = sum(episode.split == split for episode in episodes)
        if count:
            splits[split] = f"{first}:{first + count}"
        first += count
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": "car",
        "total_episodes": len(episodes),
        "total_frames": sum(len(episode) for episode in episodes),
        "total_tasks": len(tasks),
        "chunks_size": FILES_A_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": shape.fps,
        "splits": splits,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": _features(shape),
    }


def _features(shape: Shape) -> dict[str, Any]:
    videos = {
        key: {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": shape.fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
        for key, (width, height) in shape.sizes.items()
    }
    vectors = {
        name: {"dtype": "float32", "shape": [len(names)], "names": list(names)}
        for name, names in shape.vectors.items()
    }
    single = {
        name: {"dtype": str(kind.to_pandas_dtype()().dtype), "shape": [1], "names": None}
        for name, kind in TYPES.items()
    }
    return {**videos, **vectors, **single}


def _plain(values: NDArray[Any]) -> Any:
    return values if values.ndim == 1 else list(values)


def _write_table(path: Path, table: Any) -> None:
    with part_of(path) as part:
        parquet.write_table(table, part)
        settle(part, path)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with part_of(path) as part:
        part.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
        settle(part, path)
