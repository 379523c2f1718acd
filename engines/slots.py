"""The ring cache's bookkeeping: which slot holds which chunk, and how far back in time it is.

Legend: S slots, the first `sink` of them for the first chunks after a reset, the others a ring.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The slots' contents after some chunks; `push` returns the next state.

    Attention does not depend on the order of keys: the ring's oldest slot is overwritten in place,
    and only the times, which decide the rotations, change.

    Attributes:
        sink: slots that hold the first chunks for the whole run.
        ring: slots that hold the most recent chunks.
        chunks: chunks stored so far; it wraps once the state repeats.
    """

    sink: int
    ring: int
    chunks: int = 0

    @property
    def held(self) -> int:
        """Return how many slots are filled: 0 after a reset."""
        return min(self.chunks, self.sink + self.ring)

    @property
    def target(self) -> int | None:
        """Return the slot that the present chunk goes to; None if there are no slots."""
        if self.chunks < self.sink:
            return self.chunks
        return self.sink + (self.chunks - self.sink) % self.ring if self.ring else None

    @property
    def times(self) -> tuple[float, ...]:
        """Return each filled slot's time in chunks relative to the present one.

        Sink chunks count as just older than the ring, however long the run.
        """
        sink, ring = min(self.chunks, self.sink), self.ring
        newest = self.chunks - sink - 1
        return (
            *(-float(ring + sink - slot) for slot in range(sink)),
            *(-1.0 - (newest - slot) % ring for slot in range(min(newest + 1, ring))),
        )

    def push(self) -> Slots:
        """Return the state after one more chunk; with a full ring, the states repeat in a cycle."""
        if self.target is None:
            return self
        chunks = self.chunks + 1
        full = self.sink + self.ring
        if chunks >= full + self.ring:
            chunks -= self.ring
        return Slots(sink=self.sink, ring=self.ring, chunks=chunks)

    def states(self) -> tuple[Slots, ...]:
        """Return this state and every one that can follow it."""
        found = [self]
        while (after := found[-1].push()) not in found:
            found.append(after)
        return tuple(found)


def growing_moves(rows: int, old: int, new: int) -> list[tuple[int, int]]:
    """Return (from, to) offsets that spread rows of `old` bytes to `new` bytes each, in place.

    The last row moves first, so no move overwrites a row that is yet to move; the first row stays.
    A row may overlap its own target: copy it through a temporary buffer.
    """
    assert new >= old
    return [(row * old, row * new) for row in range(rows - 1, 0, -1)]
