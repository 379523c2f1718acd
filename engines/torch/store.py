"""The torch engine's keys and values: one buffer for the chunk, its reference and its past.

Legend: L layers, B cameras, N tokens of a chunk, P tokens of the past, R rows of the store, H
heads, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from realmaster_live.engines.slots import Slots
from realmaster_live.model.in_context import Rope, Rows, rope_at, rotate
from realmaster_live.model.profile import Profile

Move = Callable[[Rows, Rows, Rope], None]


def move_rows(source: Rows, place: Rows, turn: Rope) -> None:  # (L, B, n, H, D) each
    """Copy rows to another place, with their keys rotated further; both may be the same rows."""
    place[0].copy_(rotate(source[0], turn))
    place[1].copy_(source[1])


def move_by_layer(source: Rows, place: Rows, turn: Rope) -> None:
    """Move rows layer by layer: uncompiled, `move_rows` needs several times the rows' memory."""
    for keys, values, new_keys, new_values in zip(*source, *place, strict=True):
        move_rows((keys, values), (new_keys, new_values), turn)


class Store:
    """Keys and values of one transformer, (L, B, R, H, D) each, written in place.

    Rows are [target | reference | past]: whatever the past's length, what a target attends to is a
    prefix, so nothing is ever concatenated. Keys are rotated to times relative to the present
    chunk. When a chunk becomes the past, its rows are copied into a slot and its keys rotated on by
    the time that has passed; in a ring of one chunk with a sink, no other row moves.

    Attributes:
        slots: which chunk each slot holds.
        rows: keys and values, (L, 1, R, H, D) each.
        tokens: N.
    """

    def __init__(
        self,
        profile: Profile,
        tokens: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        cameras: int = 1,
    ) -> None:
        self.tokens = tokens
        self.begin = 2 * tokens if profile.in_context else tokens  # of the past
        count = self.begin + (profile.sink + profile.ring) * tokens
        shape = (profile.layers, cameras, count, profile.heads, profile.head_width)
        keys, values = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(2))
        self.rows: Rows = keys, values
        self._empty = Slots(sink=profile.sink, ring=profile.ring)
        self.slots = self._empty
        differences = {
            change for state in self._empty.states() for _, change in _changes(state, state.push())
        }
        self._turns = {each: turn(profile, each, device) for each in differences}

    def reset(self) -> None:
        """Discard the past."""
        self.slots = self._empty

    @property
    def past_tokens(self) -> int:
        """Return P, the number of past tokens that the next target attends to."""
        return self.slots.held * self.tokens

    def seen_by_target(self, past_tokens: int) -> Rows:  # (L, B, N + N + P, H, D) each
        """Return what a target attends to; its own keys and values are the first N rows."""
        return self._part(0, self.begin + past_tokens)

    def reference(self) -> Rows:  # (L, B, N, H, D) each
        """Return the rows of the reference, which attends to itself alone."""
        return self._part(self.tokens, self.begin)

    def past(self, slot: int) -> Rows:  # (L, B, N, H, D) each
        """Return the rows of a slot."""
        begin = self.begin + slot * self.tokens
        return self._part(begin, begin + self.tokens)

    def _part(self, begin: int, end: int) -> Rows:
        keys, values = self.rows
        return keys[:, :, begin:end], values[:, :, begin:end]

    def settle(self, slots: Slots, move: Move = move_by_layer) -> None:
        """Copy the target that was written last into the slot that is next in the state `slots`."""
        for slot, change in _changes(slots, slots.push()):
            here = self.past(slot)
            there = self._part(0, self.tokens) if slot == slots.target else here
            move(there, here, self._turns[change])

    def step(self) -> None:
        """Advance the slots by one chunk."""
        self.slots = self.slots.push()


def _changes(before: Slots, after: Slots) -> list[tuple[int, float]]:
    """Return each slot whose rows or times change, with the change in chunks; the new one last."""
    target = before.target
    if target is None:
        return []
    moved = [
        (slot, now - then)
        for slot, (then, now) in enumerate(zip(before.times, after.times, strict=False))
        if slot != target and now != then
    ]
    return [*moved, (target, after.times[target])]


def turn(profile: Profile, chunks: float, device: torch.device) -> Rope:
    """Return the rotation of any token over a time in chunks: cos and sin, (1, D / 2) each."""
    cos, sin = rope_at(profile, [chunks * profile.chunk_latents], 1, 1, frames=1)
    return cos.to(device), sin.to(device)
