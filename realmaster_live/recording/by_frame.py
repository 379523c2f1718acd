"""The rows of a table by frame, made into objects only when a frame is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class ByFrame(Mapping[int, T]):
    """Frame id -> what `read` makes of its rows; the table is loaded on first use.

    Args:
        load: returns the table of one camera, a pyarrow Table with the column frame_id.
        read: returns frame id -> object for the rows of some frames.
    """

    def __init__(self, load: Callable[[], Any], read: Callable[[Any], Mapping[int, T]]) -> None:
        self._load = load
        self._read = read

    def __getitem__(self, frame_id: int) -> T:
        """Return the object of a frame; KeyError where it has no rows."""
        table, spans = self._sorted
        start, stop = spans[frame_id]
        return self._read(table.slice(start, stop - start))[frame_id]

    def __iter__(self) -> Iterator[int]:
        """Yield the frame ids, ascending."""
        return iter(self._sorted[1])

    def __len__(self) -> int:
        """Return the number of frames that have rows."""
        return len(self._sorted[1])

    @cached_property
    def _sorted(self) -> tuple[Any, Mapping[int, tuple[int, int]]]:
        """The table sorted by frame, and where the rows of each frame are in it."""
        table = self._load().combine_chunks()
        numbers = table["frame_id"].to_numpy()
        if (np.diff(numbers) < 0).any():
            order = np.argsort(numbers, kind="stable")
            table, numbers = table.take(order), numbers[order]
        found, starts = np.unique(numbers, return_index=True)
        stops = [*starts[1:].tolist(), len(numbers)] if len(numbers) else []
        spans = zip(starts.tolist(), stops, strict=True)
        return table, dict(zip(found.tolist(), spans, strict=True))


class Deferred(Mapping[int, T]):
    """Frame id -> object, all of them made when the first is asked for.

    Args:
        load: returns them.
    """

    def __init__(self, load: Callable[[], Mapping[int, T]]) -> None:
        self._load = load

    def __getitem__(self, frame_id: int) -> T:
        """Return the object of a frame; KeyError where it has none."""
        return self._all[frame_id]

    def __iter__(self) -> Iterator[int]:
        """Yield the frame ids."""
        return iter(self._all)

    def __len__(self) -> int:
        """Return the number of frames that have one."""
        return len(self._all)

    @cached_property
    def _all(self) -> Mapping[int, T]:
        return self._load()
