"""One label of a segment: an Arrow file whose record batch number N is picture N.

Each batch holds the columns of `packing`, compressed with zstd: for labels that is smaller, and ten
times faster to write and to read, than lossless video codecs. A complete file allows random access;
the file of a killed process has no footer and is read from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.recording.about import MOST_PIXELS
from realmaster_live.recording.batches import BatchFile
from realmaster_live.recording.files import in_one_line, mapped, replacing
from realmaster_live.recording.packing import PACKINGS, Packing
from realmaster_live.recording.readable import EMPTY, Readable
from realmaster_live.recording.tables import DAMAGED, ipc, pa
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import check_regular

_MAGIC_BYTES = 8  # the magic number in front of the stream in an Arrow file


class LabelWriter:
    """Writes one label picture by picture.

    Args:
        path: the .arrow to write. label: its name. size: (width, height).
    """

    def __init__(self, path: Path, label: str, size: tuple[int, int]) -> None:
        self._packing = PACKINGS[label]
        width, height = size
        schema = pa.schema(
            (name, pa.fixed_shape_tensor(pa.from_numpy_dtype(dtype), (height, width)))
            for name, dtype in self._packing.dtypes.items()
        )
        self._file = BatchFile(path, lambda file: ipc.new_file(file, schema, options=_OPTIONS))

    def write(self, label: NDArray[Any]) -> None:
        """Append the label of one frame and hand it to the operating system."""
        columns = {
            name: pa.FixedShapeTensorArray.from_numpy_ndarray(
                np.ascontiguousarray(column).reshape(1, *column.shape)
            )
            for name, column in self._packing.pack(label).items()
        }
        self._file.write(pa.record_batch(columns))

    def close(self) -> None:
        """Finish the file; may be called twice."""
        self._file.close()


_OPTIONS = ipc.IpcWriteOptions(compression="zstd", use_threads=False)
_READING = ipc.IpcReadOptions(use_threads=False)  # a batch is one buffer: a quarter faster


class LabelFile:
    """An open file of labels, any of which can be read.

    Args:
        path: the .arrow that a LabelWriter wrote. label: its name.

    Raises:
        RecordingError: it is damaged.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._path, self._label = path, label
        with _errors_of(path):
            content = mapped(path)
            self._batches = _whole(pa.BufferReader(pa.py_buffer(content))) if content else None

    def picture(self, place: int) -> NDArray[Any] | None:
        """Return the label at an index; None if the file ends before.

        Raises:
            RecordingError: it is damaged there.
        """
        if self._batches is None:  # of a killed process: read from its beginning
            return next(read_label(self._path, self._label, [place]), None)
        if place >= self._batches.num_record_batches:
            return None
        packing = PACKINGS[self._label]
        with _errors_of(self._path):
            label: NDArray[Any] = packing.unpack(_columns(self._batches.get_batch(place), packing))
        return label


def read_label(path: Path, label: str, wanted: Sequence[int] | None = None) -> Iterator[Any]:
    """Yield the labels at ascending indices, or all; fewer if the file ends before.

    Raises:
        RecordingError: the file is damaged before that.
    """
    packing = PACKINGS[label]
    with _errors_of(path):
        for batch in _batches(path, wanted):
            yield packing.unpack(_columns(batch, packing))


def count_labels(path: Path) -> Readable:
    """Return how many pictures can be read from the beginning on."""
    count = 0
    try:
        with _errors_of(path):
            if check_regular(path, error=RecordingError).st_size == 0:
                return EMPTY
            packing = PACKINGS.get(path.stem)
            for batch in _batches(path, None):
                if packing is not None:
                    _columns(batch, packing)
                count += 1
    except RecordingError as error:
        return Readable(pictures=count, opened=count > 0, problem=str(error))
    return Readable(pictures=count)


def cut_labels(path: Path, count: int) -> None:
    """Keep the first labels of a file, replacing it in one step, and write its footer.

    Raises:
        RecordingError: the file cannot be written, or has fewer pictures.
    """
    kept = 0
    with replacing(path) as part:
        with part.open("wb") as file, _errors_of(path):
            out = None
            for batch in _batches(path, range(count)):
                out = out or ipc.new_file(file, batch.schema, options=_OPTIONS)
                out.write_batch(batch)
                kept += 1
            if out is not None:
                out.close()
        if kept != count:
            raise RecordingError(
                f"expected {count} labels in {path}, got {kept}: restore the file from a copy"
            )


def _columns(batch: Any, packing: Packing) -> dict[str, NDArray[Any]]:
    """Return the columns of one picture; ValueError where they are not those of its label."""
    batch.validate()
    columns = {}
    for name, dtype in packing.dtypes.items():
        field = batch.schema.field(name)
        kind = field.type
        if not isinstance(kind, pa.FixedShapeTensorType) or len(kind.shape) != 2:
            raise ValueError(f"a column {name} of {kind}")
        if kind.value_type != pa.from_numpy_dtype(dtype) or batch.num_rows != 1:
            raise ValueError(f"{batch.num_rows} rows of {kind} in {name}")
        if max(kind.shape) > MOST_PIXELS:
            raise ValueError(f"a picture of {kind.shape}")
        columns[name] = batch.column(name).to_numpy_ndarray()[0]
    return columns


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (*DAMAGED, StopIteration) as error:
        remedy = "restore the file from a copy or record again"
        got, remedy = classify_file(path, in_one_line(error), remedy)
        raise RecordingError(f"expected labels in {path}, got {got}: {remedy}") from error


def _batches(path: Path, wanted: Sequence[int] | None) -> Iterator[Any]:
    """Yield the record batches at ascending indices; read none behind the last."""
    content = mapped(path)
    if not content:
        return
    file = pa.BufferReader(pa.py_buffer(content))
    reader = _whole(file)
    if reader is not None:
        for place in range(reader.num_record_batches) if wanted is None else wanted:
            if place >= reader.num_record_batches:
                return
            yield reader.get_batch(place)
        return
    file.seek(_MAGIC_BYTES)
    batches = iter(ipc.open_stream(file, options=_READING))
    if wanted is None:
        yield from batches
        return
    places = set(wanted)
    for place in range(max(places, default=-1) + 1):
        batch = next(batches, None)
        if batch is not None and place in places:
            yield batch


def _whole(file: Any) -> Any | None:
    """Return the reader of a file that was closed."""
    try:
        return ipc.open_file(file, options=_READING)
    except pa.ArrowException:
        return None
