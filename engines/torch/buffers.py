"""What the torch engine keeps from chunk to chunk: the ring, memories and buffers, in place.

Every tensor here stays at its address, so CUDA graphs can be recorded over them.

Legend: N tokens of a chunk, S slots of the ring, P tokens of the past, M tokens of a prompt, L
layers, D channels of a head, C latent channels, F latent frames of a chunk.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.slots import Slots
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.in_context import Pair, Rope, rotate
from realmaster_live.model.profile import Profile
from realmaster_live.model.rope import rope_tables


class Ring:
    """The keys and values that earlier chunks left, in tensors that are written in place.

    Rotations follow the slots: once a chunk all keys are rotated to their times relative to the
    next one.

    The newest chunk's lie aside in `fresh` until the next chunk comes, so that it can be realized
    again: only `place` overwrites what it has seen.

    Attributes:
        slots: which chunks are kept where.
    """

    def __init__(
        self,
        profile: Profile,
        rows: int,
        columns: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.profile, self.rows, self.columns = profile, rows, columns
        self.tokens = profile.chunk_latents * rows * columns
        self.places = (profile.sink + profile.ring) * self.tokens
        head = profile.head_width
        shape = (profile.layers, 2, 1, profile.heads, self.places, head)
        # (L, 2, 1, heads, S * N, D) unrotated keys, values; and (L, 1, heads, S * N, D)
        self.kept = torch.zeros(shape, dtype=dtype, device=device)
        self.rotated = torch.zeros_like(self.kept[:, 0])
        self.fresh = torch.zeros_like(self.kept[..., : self.tokens, :])
        self.cos, self.sin = torch.zeros(2, self.places, head // 2, device=device)
        self._tables: dict[tuple[float, ...], Rope] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all chunks."""
        self.slots = Slots(sink=self.profile.sink, ring=self.profile.ring)
        self._placed: tuple[float, ...] = ()

    @property
    def seen(self) -> int:
        """Return P: how many tokens of the past the next target sees."""
        return self.slots.held * self.tokens

    def write(self, pairs: list[Pair]) -> None:
        """Lay aside a clean target's unrotated keys and its values, (1, heads, N, D) a layer."""
        for layer, pair in enumerate(pairs):
            for part, tensor in enumerate(pair):
                self.fresh[layer, part].copy_(tensor)

    def place(self, slot: int) -> None:
        """Keep what was laid aside."""
        begin, end = slot * self.tokens, (slot + 1) * self.tokens
        self.kept[..., begin:end, :].copy_(self.fresh)

    def step(self) -> None:
        """Count the chunk that was placed and place the tables of the new times."""
        self.slots = self.slots.push()
        times = self.slots.times
        if times == self._placed:
            return
        if times not in self._tables:
            device = self.cos.device
            cos, sin = tables(self.profile, times, self.rows, self.columns)
            self._tables[times] = cos.to(device), sin.to(device)
        cos, sin = self._tables[times]
        self.cos[: len(cos)].copy_(cos)
        self.sin[: len(sin)].copy_(sin)
        self._placed = times

    def turn(self, seen: int) -> None:
        """Rotate the first `seen` kept keys by the placed tables."""
        rope = self.cos[:seen], self.sin[:seen]
        for layer in range(self.profile.layers):
            key = self.kept[layer, 0, :, :, :seen]
            self.rotated[layer, :, :, :seen].copy_(rotate(key, rope))

    def past(self, seen: int) -> list[Pair]:
        """Return views of every layer's first `seen` rotated keys and values."""
        return [
            (self.rotated[layer, :, :, :seen], self.kept[layer, 1, :, :, :seen])
            for layer in range(self.profile.layers)
        ]


def tables(profile: Profile, times: tuple[float, ...], rows: int, columns: int) -> Rope:
    """Return the rotary tables of chunks at some times, on the host."""
    cos, sin = rope_tables(
        times,
        rows,
        columns,
        widths=profile.rope_widths,
        theta=profile.rope_theta,
        frames=profile.chunk_latents,
    )
    return torch.from_numpy(cos), torch.from_numpy(sin)


def latent_shape(profile: Profile, height: int, width: int) -> tuple[int, ...]:
    """Return a chunk's (1, C, F, h, w), without F where it is 1."""
    frames = (profile.chunk_latents,) if profile.chunk_latents > 1 else ()
    grid = height // profile.latent_stride, width // profile.latent_stride
    return (1, profile.latent_channels, *frames, *grid)


class Kept:
    """What the passes of one transformer leave for later ones.

    Attributes:
        ring: keys and values of earlier chunks.
        context: the reference's rotated keys and values, (L, 2, 1, heads, N, D).
        prompt_kv: the prompt's keys and values, (L, 2, 1, heads, M, D); None without prompts.
    """

    def __init__(self, ring: Ring, prompt_tokens: int) -> None:
        self.ring = ring
        layers, two, one, heads, _, head = ring.kept.shape
        self.context = ring.kept.new_zeros(layers, two, one, heads, ring.tokens, head)
        prompt = ring.kept.new_zeros(layers, two, one, heads, prompt_tokens, head)
        self.prompt_kv = prompt if prompt_tokens else None


class Buffers:
    """Everything that stays where it is from chunk to chunk; pinned on the host beside CUDA.

    Attributes:
        waiting: a chunk was realized and is not yet part of the past.
    """

    def __init__(
        self,
        profile: Profile,
        spec: ChunkSpec,
        device: torch.device,
        levels: list[float],
        seed: int,
        dtype: torch.dtype = torch.float32,  # of keys and values
        prompt_tokens: int = 0,
        experts: int = 1,
    ) -> None:
        frames = (spec.frames, spec.height, spec.width, 3)
        cuda = device.type == "cuda"
        self.sent = torch.empty(frames, dtype=torch.uint8, pin_memory=cuda)
        self.received = torch.empty_like(self.sent, pin_memory=True) if cuda else None
        self.frames = torch.empty_like(self.sent, device=device) if cuda else self.sent
        self.decoded = torch.empty_like(self.frames)
        memory = (1, profile.memory, spec.height // 8, spec.width // 8)
        memories = torch.zeros(3, *memory, device=device)
        self.encoder_memory, self.decoder_memory, self.next_decoder_memory = memories
        self.waiting = False
        cells = (spec.frames, 12, spec.height // 2, spec.width // 2)
        self.guide = torch.zeros(cells, device=device)
        rows, columns = spec.height // profile.token_stride, spec.width // profile.token_stride
        rings = [Ring(profile, rows, columns, device, dtype) for _ in range(experts)]
        self.kept = [Kept(ring, prompt_tokens) for ring in rings]
        cos, sin = tables(profile, (0.0,), rows, columns)
        self.rope = cos.to(device), sin.to(device)
        self.timesteps = {t: torch.full((1,), t, device=device) for t in levels}
        latent = latent_shape(profile, spec.height, spec.width)
        self.draw = ChunkNoise(latent, seed)
        self.noise = torch.zeros(latent, device=device)
        self.reference, self.latent = torch.zeros_like(self.noise), torch.zeros_like(self.noise)

    def reset(self) -> None:
        """Forget all chunks."""
        self.waiting = False
        self.draw.reset()
        self.encoder_memory.zero_()
        self.decoder_memory.zero_()
        for kept in self.kept:
            kept.ring.reset()

    @property
    def slots(self) -> Slots:
        """Return which chunks are kept where; it is the same for all transformers."""
        return self.kept[0].ring.slots

    @property
    def seen(self) -> int:
        """Return P: how many tokens of the past the next target sees."""
        return self.kept[0].ring.seen

    def step(self) -> None:
        """Count the chunk that became part of the past."""
        for kept in self.kept:
            kept.ring.step()

    def send(self, frames: NDArray[np.uint8]) -> None:
        """Put frames, and noise for them, on the device; returns before the copy is done."""
        self.noise.copy_(torch.from_numpy(self.draw.take()))
        self.sent.numpy()[...] = frames
        if self.frames is not self.sent:
            self.frames.copy_(self.sent, non_blocking=True)

    def receive(self) -> NDArray[np.uint8]:
        """Return the decoded frames in memory of the caller's own; waits for the device."""
        if self.received is None:
            return self.decoded.numpy().copy()
        self.received.copy_(self.decoded, non_blocking=True)
        torch.cuda.current_stream(self.decoded.device).synchronize()
        return self.received.numpy().copy()
