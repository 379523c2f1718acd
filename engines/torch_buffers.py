"""What the torch engine keeps from chunk to chunk: the ring, memories and buffers, in place.

Legend: N tokens of a chunk, S slots of the ring, P tokens of the past, L layers, D channels of a
head.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.chunk import ChunkSpec
from realmaster_live.model.in_context import Rope
from realmaster_live.model.profile import Profile
from realmaster_live.model.rope import rope_tables


class Ring:
    """The keys and values that earlier chunks left, in one tensor that is written in place.

    The first `profile.sink` slots keep the first chunks, the others the last `profile.ring`. The
    order of keys does not matter to attention: the oldest slot is overwritten where it is, and the
    rotations follow.
    """

    def __init__(self, profile: Profile, rows: int, columns: int, device: torch.device) -> None:
        self.profile, self.rows, self.columns = profile, rows, columns
        self.tokens = rows * columns
        places = (profile.sink + profile.ring) * self.tokens
        head = profile.head_width
        shape = (profile.layers, 2, 1, profile.heads, places, head)
        self.kept = torch.zeros(shape, device=device)  # (L, 2, 1, heads, S * N, D), unrotated keys
        self.cos, self.sin = torch.zeros(2, places, head // 2, device=device)
        self.reset()

    def reset(self) -> None:
        """Forget all chunks."""
        self.count = 0
        self._placed: list[float] = []

    def push(self, target_kv: Tensor) -> None:  # (L, 2, 1, heads, N, D)
        """Keep a clean target's keys and values in place of the oldest in the ring."""
        sink, ring = self.profile.sink, self.profile.ring
        if self.count < sink:
            slot = self.count
        elif ring:
            slot = sink + (self.count - sink) % ring
        else:
            return
        self.kept[..., slot * self.tokens : (slot + 1) * self.tokens, :].copy_(target_kv)
        self.count += 1

    def times(self) -> list[float]:
        """Return each filled slot's time relative to the present chunk.

        Sink chunks stay just beyond the ring, however long the run.
        """
        sink, ring = min(self.count, self.profile.sink), self.profile.ring
        newest = self.count - sink - 1
        return [-float(ring + sink - slot) for slot in range(sink)] + [
            -1.0 - (newest - slot) % ring for slot in range(min(newest + 1, ring))
        ]

    def past(self) -> tuple[Tensor, Rope]:
        """Return views of what a target sees, P = 0 after a reset, and of its rotations."""
        times = self.times()
        seen = len(times) * self.tokens
        if times != self._placed:
            cos, sin = tables(self.profile, times, self.rows, self.columns)
            self.cos[:seen].copy_(cos)
            self.sin[:seen].copy_(sin)
            self._placed = times
        return self.kept[..., :seen, :], (self.cos[:seen], self.sin[:seen])


def tables(profile: Profile, times: list[float], rows: int, columns: int) -> Rope:
    """Return the rotary tables of chunks at some times, on the host."""
    cos, sin = rope_tables(
        times, rows, columns, widths=profile.rope_widths, theta=profile.rope_theta
    )
    return torch.from_numpy(cos), torch.from_numpy(sin)


class Buffers:
    """Everything that stays where it is from chunk to chunk; pinned on the host beside CUDA."""

    def __init__(
        self,
        profile: Profile,
        spec: ChunkSpec,
        device: torch.device,
        levels: list[float],
        seed: int,
    ) -> None:
        frames = (spec.frames, spec.height, spec.width, 3)
        cuda = device.type == "cuda"
        self.sent = torch.empty(frames, dtype=torch.uint8, pin_memory=cuda)
        self.received = torch.empty_like(self.sent, pin_memory=True) if cuda else None
        self.frames = torch.empty_like(self.sent, device=device) if cuda else self.sent
        memory = (1, profile.memory, spec.height // 8, spec.width // 8)
        self.encoder_memory, self.decoder_memory = torch.zeros(2, *memory, device=device)
        rows, columns = spec.height // profile.token_stride, spec.width // profile.token_stride
        self.ring = Ring(profile, rows, columns, device)
        cos, sin = tables(profile, [0.0], rows, columns)
        self.rope = cos.to(device), sin.to(device)
        self.timesteps = {t: torch.full((1,), t, device=device) for t in levels}
        stride = profile.latent_stride
        latent = (1, profile.latent_channels, spec.height // stride, spec.width // stride)
        generator = np.random.Generator(np.random.Philox(seed))
        # The same noise for every chunk: what differs between chunks is then the scene alone.
        noise = generator.standard_normal(latent, dtype=np.float32)
        self.noise = torch.from_numpy(noise).to(device)

    def reset(self) -> None:
        """Forget all chunks."""
        self.encoder_memory.zero_()
        self.decoder_memory.zero_()
        self.ring.reset()

    def send(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return the frames on the device, before the copy is done."""
        self.sent.numpy()[...] = frames
        if self.frames is not self.sent:
            self.frames.copy_(self.sent, non_blocking=True)
        return self.frames

    def receive(self, frames: Tensor) -> NDArray[np.uint8]:
        """Return frames in memory of the caller's own; waits for the device."""
        if self.received is None:
            return frames.numpy()
        self.received.copy_(frames, non_blocking=True)
        torch.cuda.current_stream(frames.device).synchronize()
        return self.received.numpy().copy()
