"""The torch engine's persistent state: the ring cache, the autoencoder's memories, the buffers.

Every tensor is written in place and stays at its address, so that CUDA graphs can be captured over
them.

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
    """The ring cache: keys and values of earlier chunks, in tensors that are written in place.

    Keys are stored unrotated. Once a chunk, all of them are rotated to their times relative to the
    next chunk.

    The newest chunk's keys and values wait in `newest` until the next chunk comes, so that it can
    be realized again: only `place` overwrites what it attended to.

    Attributes:
        slots: which chunk each slot holds.
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
        self.keys_values = torch.zeros(shape, dtype=dtype, device=device)
        self.rotated = torch.zeros_like(self.keys_values[:, 0])
        self.newest = torch.zeros_like(self.keys_values[..., : self.tokens, :])
        self.cos, self.sin = torch.zeros(2, self.places, head // 2, device=device)
        self._tables: dict[tuple[float, ...], Rope] = {}
        self.reset()

    def reset(self) -> None:
        """Clear all slots."""
        self.slots = Slots(sink=self.profile.sink, ring=self.profile.ring)
        self._placed: tuple[float, ...] = ()

    @property
    def past_tokens(self) -> int:
        """Return P, the number of past tokens that the next target attends to."""
        return self.slots.held * self.tokens

    def write(self, pairs: list[Pair]) -> None:
        """Write a clean target's unrotated keys and its values, (1, heads, N, D) a layer."""
        for layer, pair in enumerate(pairs):
            for part, tensor in enumerate(pair):
                self.newest[layer, part].copy_(tensor)

    def place(self, slot: int) -> None:
        """Copy `newest` into a slot."""
        begin, end = slot * self.tokens, (slot + 1) * self.tokens
        self.keys_values[..., begin:end, :].copy_(self.newest)

    def step(self) -> None:
        """Advance the slots by one chunk and load the rotary tables of the new times."""
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

    def rotate_past(self, past_tokens: int) -> None:
        """Rotate the first `past_tokens` keys by the loaded tables."""
        rope = self.cos[:past_tokens], self.sin[:past_tokens]
        for layer in range(self.profile.layers):
            key = self.keys_values[layer, 0, :, :, :past_tokens]
            self.rotated[layer, :, :, :past_tokens].copy_(rotate(key, rope))

    def past(self, past_tokens: int) -> list[Pair]:
        """Return views of every layer's first `past_tokens` rotated keys and values."""
        return [
            (
                self.rotated[layer, :, :, :past_tokens],
                self.keys_values[layer, 1, :, :, :past_tokens],
            )
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


class ExpertState:
    """The state that one transformer keeps between its passes.

    Attributes:
        ring: keys and values of earlier chunks.
        context: the reference's rotated keys and values, (L, 2, 1, heads, N, D).
        prompt_kv: the prompt's keys and values, (L, 2, 1, heads, M, D); None without prompts.
    """

    def __init__(self, ring: Ring, prompt_tokens: int) -> None:
        self.ring = ring
        layers, two, one, heads, _, head = ring.keys_values.shape
        self.context = ring.keys_values.new_zeros(layers, two, one, heads, ring.tokens, head)
        prompt = ring.keys_values.new_zeros(layers, two, one, heads, prompt_tokens, head)
        self.prompt_kv = prompt if prompt_tokens else None


class Buffers:
    """All persistent tensors of an engine; host tensors are pinned if the device is CUDA.

    Attributes:
        pending: whether a chunk was realized that is not yet part of the past.
    """

    def __init__(
        self,
        profile: Profile,
        spec: ChunkSpec,
        device: torch.device,
        levels: list[float],
        seed: int,
        dtype: torch.dtype = torch.float32,  # dtype of keys and values
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
        self.pending = False
        cells = (spec.frames, 12, spec.height // 2, spec.width // 2)
        self.guide = torch.zeros(cells, device=device)
        rows, columns = spec.height // profile.token_stride, spec.width // profile.token_stride
        rings = [Ring(profile, rows, columns, device, dtype) for _ in range(experts)]
        self.states = [ExpertState(ring, prompt_tokens) for ring in rings]
        cos, sin = tables(profile, (0.0,), rows, columns)
        self.rope = cos.to(device), sin.to(device)
        self.timesteps = {t: torch.full((1,), t, device=device) for t in levels}
        latent = latent_shape(profile, spec.height, spec.width)
        self.draw = ChunkNoise(latent, seed)
        self.noise = torch.zeros(latent, device=device)
        self.reference, self.latent = torch.zeros_like(self.noise), torch.zeros_like(self.noise)

    def reset(self) -> None:
        """Clear all slots."""
        self.pending = False
        self.draw.reset()
        self.encoder_memory.zero_()
        self.decoder_memory.zero_()
        for state in self.states:
            state.ring.reset()

    @property
    def slots(self) -> Slots:
        """Return which chunk each slot holds; the same for all transformers."""
        return self.states[0].ring.slots

    @property
    def past_tokens(self) -> int:
        """Return P, the number of past tokens that the next target attends to."""
        return self.states[0].ring.past_tokens

    def step(self) -> None:
        """Advance every transformer's ring by one chunk."""
        for state in self.states:
            state.ring.step()

    def send(self, frames: NDArray[np.uint8]) -> None:
        """Copy frames, and noise for them, to the device; return before the copy is done."""
        self.noise.copy_(torch.from_numpy(self.draw.take()))
        self.sent.numpy()[...] = frames
        if self.frames is not self.sent:
            self.frames.copy_(self.sent, non_blocking=True)

    def receive(self) -> NDArray[np.uint8]:
        """Return a copy of the decoded frames that the caller owns; wait for the device."""
        if self.received is None:
            return self.decoded.numpy().copy()
        self.received.copy_(self.decoded, non_blocking=True)
        torch.cuda.current_stream(self.decoded.device).synchronize()
        return self.received.numpy().copy()
