"""The ring cache's bookkeeping: which chunk each slot holds, and how far back in time it is.

Legend: S slots, of which the first `sink` hold the first chunks after a reset, and the others form
a ring.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The state of the slots after some chunks; `push` returns the next state.

    Attention does not depend on the order of keys. So the ring's oldest slot is overwritten in
    place, and only the times change, which determine the rotations.

    Attributes:
        sink: slots that hold the first chunks for the whole run.
        ring: slots that hold the most recent chunks.
        chunks: number of chunks stored so far; it wraps when the states repeat.
    """

    sink: int
    ring: int
    chunks: int = 0

    @property
    def held(self) -> int:
        """Return the number of filled slots, 0 after a reset."""
        return min(self.chunks, self.sink + self.ring)

    @property
    def target(self) -> int | None:
        """Return the slot that the current chunk goes to; None if there are no slots."""
        if self.chunks < self.sink:
            return self.chunks
        return self.sink + (self.chunks - self.sink) % self.ring if self.ring else None

    @property
    def times(self) -> tuple[float, ...]:
        """Return each filled slot's time in chunks relative to the current one.

        Sink chunks count as just older than the ring, regardless of their age.
        """
        sink, ring = min(self.chunks, self.sink), self.ring
        newest = self.chunks - sink - 1
        return (
            *(-float(ring + sink - slot) for slot in range(sink)),
            *(-1.0 - (newest - slot) % ring for slot in range(min(newest + 1, ring))),
        )

    def push(self) -> Slots:
        """Return the state after one more chunk; with a full ring the states repeat."""
        if self.target is None:
            return self
        chunks = self.chunks + 1
        full = self.sink + self.ring
        if chunks >= full + self.ring:
            chunks -= self.ring
        return Slots(sink=self.sink, ring=self.ring, chunks=chunks)

    def states(self) -> tuple[Slots, ...]:
        """Return this state and all that can follow it."""
        found = [self]
        while (after := found[-1].push()) not in found:
            found.append(after)
        return tuple(found)


def growing_moves(rows: int, old: int, new: int) -> list[tuple[int, int]]:
    """Return (from, to) offsets that spread rows of `old` bytes to `new` bytes each, in place.

    The last row moves first, so no move overwrites a row that has not moved yet; the first row
    stays. A row may overlap its own target, so copy it through a temporary buffer.
    """
    assert new >= old
    return [(row * old, row * new) for row in range(rows - 1, 0, -1)]
