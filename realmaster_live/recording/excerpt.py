"""Some frames of a recording, by their indices: `recording[10:20]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from realmaster_live.recording.sample import Sample


class Excerpt(Sequence[Sample]):
    """A slice of a recording; a frame is decoded when it is asked for.

    Args:
        sample_at: returns the frame at an index. places: the indices of these frames.
        whole: the recording, as `repr` shows it.
    """

    def __init__(self, sample_at: Callable[[int], Sample], places: range, whole: object) -> None:
        self._sample_at = sample_at
        self._places = places
        self._whole = whole

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Excerpt: ...
    def __getitem__(self, index: int | slice) -> Sample | Excerpt:
        """Return a frame, or a slice of the slice; IndexError beyond the end."""
        if isinstance(index, slice):
            return Excerpt(self._sample_at, self._places[index], self._whole)
        return self._sample_at(self._places[index])

    def __repr__(self) -> str:
        """Show the recording and which of its frames these are."""
        return f"{self._whole!r}[{self._places.start}:{self._places.stop}:{self._places.step}]"
