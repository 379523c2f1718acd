"""The ring cache: keys and values of earlier chunks' clean targets.

Legend: L layers, B batch, H heads, N tokens of a chunk, P tokens of the past, D head channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from realmaster_live.model.profile import Profile


class RingCache:
    """Holds the first `sink` chunks and the last `ring` chunks, with unrotated keys.

    Attention does not depend on the order of keys, so a slot is overwritten in place and only its
    age, and with it its rotation, changes.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.sink: list[Tensor] = []  # each (L, 2, B, H, N, D)
        self.ring: list[Tensor] = []
        self.next_slot = 0

    def reset(self) -> None:
        """Clear the cache."""
        self.sink, self.ring, self.next_slot = [], [], 0

    def push(self, target_kv: Tensor) -> None:  # (L, 2, B, H, N, D)
        """Store a clean target's keys and values; a full ring evicts its oldest chunk."""
        if len(self.sink) < self.profile.sink:
            self.sink.append(target_kv)
        elif len(self.ring) < self.profile.ring:
            self.ring.append(target_kv)
            self.next_slot = len(self.ring) % self.profile.ring
        elif self.ring:
            self.ring[self.next_slot] = target_kv
            self.next_slot = (self.next_slot + 1) % self.profile.ring

    def past(self, like: Tensor) -> Tensor:  # -> (L, 2, B, H, P, D)
        """Return the past keys and values that a target attends to; P is 0 after a reset."""
        kept = [*self.sink, *self.ring]
        return torch.cat(kept, 4) if kept else like[..., :0, :]

    def times(self) -> list[float]:
        """Return each kept chunk's time relative to the current chunk, in the order of `past`.

        Sink chunks count as just older than the ring, regardless of their age.
        """
        sink = [-float(self.profile.ring + len(self.sink) - i) for i in range(len(self.sink))]
        size = len(self.ring)
        full = size == self.profile.ring
        ages = [
            (self.next_slot - slot - 1) % size if full else size - slot - 1 for slot in range(size)
        ]
        return sink + [-1.0 - age for age in ages]
