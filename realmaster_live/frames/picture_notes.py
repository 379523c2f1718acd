"""What is known of arrays of pictures, forgotten with them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Note = TypeVar("Note")


class PictureNotes(Generic[Note]):
    """Notes of arrays by their identity, for any thread; keeps no array alive."""

    def __init__(self) -> None:
        self._notes: dict[int, tuple[weakref.ref[Any], Note]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return of how many arrays that are still there something is known."""
        return len(self._notes)

    def get(self, pictures: NDArray[np.uint8]) -> Note | None:
        """Return the note of an array; None without one."""
        found = self._notes.get(id(pictures))
        return None if found is None else found[1]

    def put(self, pictures: NDArray[np.uint8], note: Note) -> None:
        """Note something of an array of which nothing is known yet."""
        self.keep(pictures, lambda: note)

    def keep(self, pictures: NDArray[np.uint8], make: Callable[[], Note]) -> Note:
        """Return the note of an array, which `make` makes where there is none yet."""
        key = id(pictures)
        with self._lock:
            if key not in self._notes:

                def forget(_: object, key: int = key) -> None:
                    self._notes.pop(key, None)

                self._notes[key] = weakref.ref(pictures, forget), make()
            return self._notes[key][1]
