"""What an engine on the host remembers of earlier chunks.

Legend: N tokens of a chunk, P tokens of the past, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


class Past:
    """The keys and values that earlier chunks left: the first `sink` and the last `ring`.

    A `copy` is a snapshot: pushing to the original does not change it.
    """

    def __init__(self, *, layers: int, heads: int, head_width: int, ring: int, sink: int) -> None:
        self._nothing = np.zeros((layers, 2, 1, heads, 0, head_width), np.float32)
        self._ring_size, self._sink_size = ring, sink
        self._sink: list[NDArray[np.float32]] = []
        self._ring: list[NDArray[np.float32]] = []  # newest last

    def push(self, target_kv: NDArray[np.float32]) -> None:  # (L, 2, 1, heads, N, head width)
        """Store a clean target's keys and values; a full ring evicts its oldest chunk."""
        if len(self._sink) < self._sink_size:
            self._sink = [*self._sink, target_kv]
        else:
            kept = [*self._ring, target_kv]
            self._ring = kept[len(kept) - min(len(kept), self._ring_size) :]

    def concatenated(self) -> NDArray[np.float32]:  # (L, 2, 1, heads, P, head width)
        """Return the keys and values that the next target attends to; P is 0 after a reset."""
        kept = [*self._sink, *self._ring]
        if len(kept) == 1:
            return kept[0]
        return np.concatenate(kept, 4) if kept else self._nothing

    def times(self) -> list[float]:
        """Return the kept chunks' times relative to the present one, in `concatenated`'s order."""
        sink = [-float(self._ring_size + len(self._sink) - i) for i in range(len(self._sink))]
        return sink + [-float(len(self._ring) - i) for i in range(len(self._ring))]

    def parts(self) -> dict[str, NDArray[np.float32]]:
        """Return what is kept, each chunk by its place, for `refill`."""
        named = {"sink": self._sink, "ring": self._ring}
        return {f"{name}{n}": kv for name, kept in named.items() for n, kv in enumerate(kept)}

    def refill(self, parts: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep exactly what `parts` of such a past returned."""
        self._sink, self._ring = (
            [parts[f"{name}{n}"] for n in range(size) if f"{name}{n}" in parts]
            for name, size in (("sink", self._sink_size), ("ring", self._ring_size))
        )
