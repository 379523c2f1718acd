"""The sweeps of one lidar or radar of a segment: an Arrow file with one record batch a sweep.

Each batch has one row: the frame's number, its time, where the sensor was, and a list for each
value of the points. Like the labels, a file is readable up to its last sweep if the process is
killed, and a complete one gives any sweep by its frame's number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from realmaster_live.errors import RecordingError
from realmaster_live.frames.ego import SWEEP_VALUES, Sweep, SweepKind
from realmaster_live.recording.batches import BatchFile
from realmaster_live.recording.files import in_one_line, mapped
from realmaster_live.recording.readable import EMPTY, Readable
from realmaster_live.recording.tables import DAMAGED, ipc, pa
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import SafeFolder, check_regular

SUFFIX = ".arrow"
KIND = b"realmaster.sweep"  # in the schema's metadata
_MAGIC_BYTES = 8  # the magic number in front of the stream in an Arrow file
_OPTIONS = ipc.IpcWriteOptions(compression="zstd", use_threads=False)
_HEAD = [
    ("frame_id", pa.int64()),
    ("timestamp", pa.float64()),
    ("sensor_to_world", pa.list_(pa.float64(), 16)),
]


class SweepWriter:
    """Writes one sensor's sweeps; `kind` is what measures them."""

    def __init__(self, path: Path, kind: SweepKind) -> None:
        self._kind = kind
        self._schema = _schema(kind)
        self._file = BatchFile(
            path, lambda file: ipc.new_file(file, self._schema, options=_OPTIONS)
        )

    def write(self, sweep: Sweep) -> None:
        """Append a sweep and hand it to the operating system."""
        if sweep.kind != self._kind:
            raise RecordingError(
                f"expected sweeps of a {self._kind}, got one of a {sweep.kind}: give sensors of "
                "different kinds different names"
            )
        columns: dict[str, Any] = {
            "frame_id": [sweep.frame_id],
            "timestamp": [sweep.timestamp],
            "sensor_to_world": [sweep.sensor_to_world.ravel().tolist()],
            **{axis: _listed(sweep.points[:, n], np.float32) for n, axis in enumerate("xyz")},
            **{
                name: _listed(sweep.values[name], dtype)
                for name, dtype in SWEEP_VALUES[self._kind].items()
            },
        }
        arrays = [pa.array(columns[one.name], one.type) for one in self._schema]
        self._file.write(pa.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """Finish the file; may be called twice."""
        self._file.close()


class SweepFile:
    """Reads one sensor's sweeps by the frames' numbers.

    Raises:
        RecordingError: the file cannot be read, or is none of sweeps.
    """

    def __init__(self, path: Path, check: Callable[[], None] | None = None) -> None:
        """Name the file; `check` is called before it is first read."""
        self._path, self._check = path, check

    def __iter__(self) -> Iterator[Sweep]:
        """Yield all sweeps in order; an unfinished file's up to its last whole one."""
        self._checked()
        with _errors_of(self._path):
            yield from self._sweeps()

    def __contains__(self, frame_id: int) -> bool:
        return frame_id in self._places

    def __getitem__(self, frame_id: int) -> Sweep:
        """Return the sweep of a frame; KeyError where there is none."""
        place = self._places[frame_id]
        with _errors_of(self._path):
            reader = _whole(self._path)
            if reader is not None:
                return _sweep(reader.get_batch(place))
            return next(one for n, one in enumerate(self._sweeps()) if n == place)

    @property
    def frame_ids(self) -> tuple[int, ...]:
        """The numbers of the frames that have a sweep, in order."""
        return tuple(self._places)

    def _checked(self) -> None:
        check, self._check = self._check, None
        if check is not None:
            check()

    @cached_property
    def _places(self) -> dict[int, int]:
        self._checked()
        with _errors_of(self._path):
            reader = _whole(self._path, only=[0])
            if reader is not None:
                batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
                numbers = [int(batch.column(0)[0].as_py()) for batch in batches]
            else:
                numbers = [sweep.frame_id for sweep in self._sweeps()]
        return {number: place for place, number in enumerate(numbers)}

    def _sweeps(self) -> Iterator[Sweep]:
        reader = _whole(self._path)
        if reader is not None:
            for place in range(reader.num_record_batches):
                yield _sweep(reader.get_batch(place))
            return
        content = mapped(self._path)
        if len(content) <= _MAGIC_BYTES:
            return  # nothing had reached the disk
        file = pa.BufferReader(pa.py_buffer(content))
        file.seek(_MAGIC_BYTES)
        batches = ipc.open_stream(file)
        while True:
            try:
                batch = batches.read_next_batch()
            except StopIteration:
                return
            except DAMAGED:
                if file.tell() < len(content):
                    raise
                return  # the one that a killed recorder was writing
            yield _sweep(batch)


class StoredSweeps(Mapping[str, Sweep]):
    """Sensor -> its sweep at one frame, read when it is asked for."""

    def __init__(self, files: Mapping[str, SweepFile], frame_id: int) -> None:
        self._files, self._frame_id = files, frame_id

    def __getitem__(self, name: str) -> Sweep:
        return self._files[name][self._frame_id]

    def __iter__(self) -> Iterator[str]:
        return (name for name, file in self._files.items() if self._frame_id in file)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"StoredSweeps({', '.join(self) or 'none'} of frame {self._frame_id})"


def sweep_files(folder: Path) -> list[str]:
    """Return the names of a segment's files of sweeps; links and folders are none."""
    files = SafeFolder(folder, error=RecordingError)
    names = files.names() if folder.is_dir() else []
    return [name for name in names if is_sweep_file(name) and (folder / name).is_file()]


def is_sweep_file(name: str) -> bool:
    """Return whether a file of a segment has a name of sweeps: labels are in cameras' folders."""
    return name.endswith(SUFFIX) and "/" not in name


def count_sweeps(path: Path) -> Readable:
    """Return how many sweeps can be read from the beginning on."""
    count = 0
    try:
        if check_regular(path, error=RecordingError).st_size == 0:
            return EMPTY
        for _ in SweepFile(path):
            count += 1
    except RecordingError as error:
        return Readable(pictures=count, opened=count > 0, problem=str(error))
    return Readable(pictures=count)


def is_whole(path: Path) -> bool:
    """Return whether a file was closed."""
    with _errors_of(path):
        return _whole(path) is not None


def finish_sweeps(path: Path, target: Path) -> None:
    """Copy the sweeps that can be read into a whole file."""
    writer = None
    try:
        for sweep in SweepFile(path):
            writer = writer or SweepWriter(target, sweep.kind)
            writer.write(sweep)
    except RecordingError:
        if writer is None:
            raise
        # what came before the damage is kept
    finally:
        if writer is not None:
            writer.close()


def _schema(kind: SweepKind) -> Any:
    values = [
        (name, pa.list_(pa.from_numpy_dtype(dtype)))
        for name, dtype in (*dict.fromkeys("xyz", np.float32).items(), *SWEEP_VALUES[kind].items())
    ]
    return pa.schema([*_HEAD, *values], metadata={KIND: kind.encode()})


def _listed(values: Any, dtype: Any) -> Any:
    flat = pa.array(np.ascontiguousarray(values, dtype))
    return pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat)


def _sweep(batch: Any) -> Sweep:
    """Return a batch as a sweep; ValueError where it is none."""
    batch.validate(full=True)
    kind: Any = (batch.schema.metadata or {}).get(KIND, b"").decode(errors="replace")
    if kind not in get_args(SweepKind) or not batch.schema.equals(_schema(kind)):
        raise ValueError(f"a file of {kind or 'something else than sweeps'}")
    if batch.num_rows != 1 or any(column.null_count for column in batch.columns):
        raise ValueError(f"{batch.num_rows} rows in a sweep, or empty ones")
    values = {
        one.name: (column.flatten() if pa.types.is_nested(one.type) else column).to_numpy()
        for one, column in zip(batch.schema, batch.columns, strict=True)
    }
    pose = values["sensor_to_world"].reshape(4, 4)
    lengths = {len(column) for name, column in values.items() if name not in dict(_HEAD)}
    if len(lengths) != 1 or not np.isfinite(pose).all():
        raise ValueError(f"{sorted(lengths)} values of the points of one sweep, at {pose.tolist()}")
    return Sweep(
        frame_id=int(values["frame_id"][0]),
        timestamp=float(values["timestamp"][0]),
        kind=kind,
        points=np.stack([values[axis] for axis in "xyz"], axis=1),
        values={name: values[name] for name in SWEEP_VALUES[kind]},
        sensor_to_world=pose,
    )


def _whole(path: Path, only: list[int] | None = None) -> Any | None:
    """Return the reader of a file that was closed, None of one that was not."""
    content = mapped(path)
    if not content:
        return None
    options = ipc.IpcReadOptions(included_fields=only) if only else ipc.IpcReadOptions()
    try:
        return ipc.open_file(pa.BufferReader(pa.py_buffer(content)), options=options)
    except pa.ArrowException:
        return None


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (*DAMAGED, IndexError) as error:
        remedy = "restore the file from a copy or record again"
        got, remedy = classify_file(path, in_one_line(error), remedy)
        raise RecordingError(f"expected sweeps in {path}, got {got}: {remedy}") from error
