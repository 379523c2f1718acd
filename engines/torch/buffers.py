"""The torch engine's persistent state: keys and values, the autoencoder's memories, the buffers.

Every tensor is written in place and stays at its address, so that CUDA graphs can be captured over
them.

The first axis is that of the cameras, which are one batch.

Legend: B cameras, T frames of a chunk, H W pixels, M tokens of a prompt, L layers, D channels of a
head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.engines.guides import Guides
from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.slots import Slots
from realmaster_live.engines.torch.store import Store
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.autoencoders.interface import Autoencoder, empty_memories
from realmaster_live.model.geometry_guide import CHANNELS
from realmaster_live.model.in_context import rope_at
from realmaster_live.model.light_guide import LIGHTS
from realmaster_live.model.profile import Profile


class ExpertState:
    """The state that a transformer keeps between passes.

    Attributes:
        store: keys and values of the chunk, its reference and the past.
        prompt_kv: the prompt's keys and values, (L, 2, B, heads, M, D); None without prompts.
    """

    def __init__(self, profile: Profile, store: Store, prompt_tokens: int) -> None:
        self.store = store
        cameras = store.rows[0].shape[1]
        shape = (profile.layers, 2, cameras, profile.heads, prompt_tokens, profile.head_width)
        self.prompt_kv = store.rows[0].new_zeros(shape) if prompt_tokens else None


class Buffers:
    """All persistent tensors of an engine; host tensors are pinned if the device is CUDA.

    Attributes:
        pending: whether the last chunk is realized but not yet part of the past.
    """

    def __init__(
        self,
        profile: Profile,
        autoencoder: Autoencoder,
        spec: ChunkSpec,
        device: torch.device,
        levels: Sequence[float],
        seed: int,
        dtype: torch.dtype = torch.float32,  # of keys, values and the autoencoder's memories
        prompt_tokens: int = 0,
        experts: int = 1,
        cameras: int = 1,
    ) -> None:
        frames = (cameras, spec.frames, spec.height, spec.width, 3)
        cuda = device.type == "cuda"
        self.sent = torch.empty(frames, dtype=torch.uint8, pin_memory=cuda)
        self.received = torch.empty_like(self.sent, pin_memory=True) if cuda else None
        self.frames = torch.empty_like(self.sent, device=device) if cuda else self.sent
        self.decoded = torch.empty_like(self.frames)
        memories = empty_memories(autoencoder, cameras, spec.height, spec.width)
        self.encoder_memory, self.decoder_memory = (x.to(device, dtype) for x in memories)
        self.next_decoder_memory = torch.zeros_like(self.decoder_memory)
        self.pending = False
        cells = (cameras * spec.frames, 12, spec.height // 2, spec.width // 2)
        self.guide = torch.zeros(cells, device=device)
        self.geometry: Tensor | None = None
        if profile.geometry:
            shapes = (cells[0], CHANNELS, *cells[2:])
            self.geometry = torch.zeros(shapes, dtype=torch.uint8, device=device)
        self.light: Tensor | None = None
        if profile.light:
            grid = profile.latent_shape(spec.height, spec.width)[-2:]
            self.light = torch.zeros(cameras, len(LIGHTS), *grid, device=device)
        rows, columns = spec.height // profile.token_stride, spec.width // profile.token_stride
        tokens = profile.chunk_latents * rows * columns
        stores = [Store(profile, tokens, device, dtype, cameras) for _ in range(experts)]
        self.states = [ExpertState(profile, store, prompt_tokens) for store in stores]
        cos, sin = rope_at(profile, [0.0], rows, columns)
        self.rope = cos.to(device), sin.to(device)
        self.timesteps = {t: torch.full((1,), t, device=device) for t in levels}
        latent = profile.latent_shape(spec.height, spec.width)
        self.draw = ChunkNoise(latent, seed)  # the same for all cameras
        self.noise = torch.zeros(cameras, *latent[1:], device=device)
        self.reference, self.latent = torch.zeros_like(self.noise), torch.zeros_like(self.noise)

    def reset(self) -> None:
        """Clear all slots."""
        self.pending = False
        self.draw.reset()
        self.encoder_memory.zero_()
        self.decoder_memory.zero_()
        for state in self.states:
            state.store.reset()

    @property
    def slots(self) -> Slots:
        """Return which chunk each slot holds, which is the same for all transformers."""
        return self.states[0].store.slots

    @property
    def past_tokens(self) -> int:
        """Return P, the number of past tokens that the next target attends to."""
        return self.states[0].store.past_tokens

    def step(self) -> None:
        """Advance every transformer's slots by one chunk."""
        for state in self.states:
            state.store.step()

    def send(self, frames: Sequence[NDArray[np.uint8]], guides: Sequence[Guides] = ()) -> None:
        """Copy each camera's frames and guides, and noise, to the device.

        It may return before the frames are copied. Without guides those of the last chunk stay.
        """
        self.noise.copy_(torch.from_numpy(self.draw.take()))
        for place, each in zip(self.sent.numpy(), frames, strict=True):
            place[...] = each
        for name, place in (("geometry", self.geometry), ("light", self.light)):
            if place is not None and guides:
                place.copy_(torch.from_numpy(np.concatenate([each[name] for each in guides])))
        if self.frames is not self.sent:
            self.frames.copy_(self.sent, non_blocking=True)

    def receive(self) -> NDArray[np.uint8]:  # (B, T, H, W, 3)
        """Return a copy of the decoded frames that the caller owns; wait for the device."""
        if self.received is None:
            return self.decoded.numpy().copy()
        self.received.copy_(self.decoded, non_blocking=True)
        torch.cuda.current_stream(self.decoded.device).synchronize()
        return self.received.numpy().copy()
