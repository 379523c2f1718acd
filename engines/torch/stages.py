"""The stages of a chunk, as passes of the networks over fixed buffers.

Each stage reads and writes buffers only, so it can run eagerly, compiled, or from a CUDA graph.

Legend: P tokens of the past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from realmaster_live.engines.slots import Slots
from realmaster_live.engines.torch.buffers import Buffers
from realmaster_live.engines.torch.expert import Expert, Passes
from realmaster_live.engines.torch.opening import Opened
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.networks import expert_at
from realmaster_live.model.sampling import euler_step, flow_start
from realmaster_live.model.vae import to_bytes, to_cells
from realmaster_live.prompts import PromptTable

# Of a batch of the autoencoder on the CPU: activations beyond the caches, and in pages that the
# system clears anew each time, cost more than a larger batch saves.
CPU_PIXELS = 4 * 512 * 288


class Stages:
    """A chunk's stages, in order: encode, context, denoise, decode, commit, settle.

    The last one runs when the next chunk comes. Until then everything from denoise on can be run
    again from other noise. Every expert has its own context, commit and settle; `serving` is the
    expert of each denoise step.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        serving: Sequence[Expert],  # one for each step
        buffers: Buffers,
        levels: Sequence[float],  # one more than steps
    ) -> None:
        self.autoencoder, self.serving = autoencoder, serving
        self.experts = list(dict.fromkeys(serving))
        self.profile = serving[0].transformer.profile
        self.buffers, self.levels = buffers, levels
        cameras, frames, height, width, _ = buffers.frames.shape
        most = max(1, CPU_PIXELS // (frames * height * width))
        each = most if buffers.frames.device.type == "cpu" else cameras
        spans = [(begin, min(begin + each, cameras)) for begin in range(0, cameras, each)]
        self._parts = [(slice(a, b), slice(a * frames, b * frames)) for a, b in spans]

    @classmethod
    def of(
        cls,
        opened: Opened,
        spec: ChunkSpec,
        levels: Sequence[float],
        prompts: Mapping[int, PromptTable],  # of each expert that serves a step
        *,
        first: str,
        seed: int,
        cameras: int,
        recompute: bool,
        passes: Passes,
    ) -> Stages:
        """Return the stages of a model's networks over buffers of their own, for a first prompt."""
        known = next(iter(prompts.values()))
        buffers = Buffers(
            opened.profile,
            opened.autoencoder,
            spec,
            opened.device,
            levels,
            seed,
            opened.dtype,
            prompt_tokens=len(known[first]) if known else 0,
            experts=len(prompts),
            cameras=cameras,
        )
        experts = {
            place: Expert(
                opened.transformers[place],
                buffers,
                state,
                prompts=prompts[place],
                adapter=opened.adapters[place],
                recompute=recompute,
                passes=passes,
            )
            for place, state in zip(prompts, buffers.states, strict=True)
        }
        serving = [experts[expert_at(opened.profile, t)] for t in levels[:-1]]
        return cls(opened.autoencoder, serving, buffers, levels)

    def encode(self) -> None:
        """Encode the frames to the guide and the reference."""
        buffers = self.buffers
        buffers.guide.copy_(to_cells(buffers.frames))
        for part, cells in self._parts:
            kept = buffers.encoder_memory[part]
            reference, memory = self.autoencoder.encode(
                buffers.guide[cells], kept, None if buffers.light is None else buffers.light[part]
            )
            buffers.reference[part].copy_(reference)
            kept.copy_(memory)

    def context(self) -> None:
        """Compute the reference's keys, rotated, and its values."""
        for expert in self.experts:
            expert.context()

    def denoise(self, past_tokens: int) -> None:
        """Denoise noise, or the render's latent, to the chunk's latent; P = `past_tokens`."""
        x = flow_start(self.profile, self.buffers.noise, self.buffers.reference)
        for expert, (t, t_next) in zip(self.serving, pairwise(self.levels), strict=True):
            x = euler_step(x, expert.predict(x, t, past_tokens), t, t_next)
        self.buffers.latent.copy_(x)

    def decode(self) -> None:
        """Decode the latent to frames."""
        buffers = self.buffers
        for part, cells in self._parts:
            pictures, memory = self.autoencoder.decode(
                buffers.latent[part],
                buffers.guide[cells],
                buffers.decoder_memory[part],
                buffers.noise[part],
                None if buffers.geometry is None else buffers.geometry[cells],
            )
            buffers.decoded[part].copy_(to_bytes(pictures, buffers.decoded.shape[1]))
            buffers.next_decoder_memory[part].copy_(memory)

    def commit(self, past_tokens: int) -> None:
        """Run the pass over the clean latent, whose keys and values wait for `settle`."""
        if self.buffers.slots.target is None:
            return  # nothing is kept of the chunk
        for expert in self.experts:
            expert.commit(past_tokens)

    def settle(self, slots: Slots) -> None:
        """Make the chunk part of the past: fill its slot, and keep the decoder's memory."""
        self.buffers.decoder_memory.copy_(self.buffers.next_decoder_memory)
        for expert in self.experts:
            expert.settle(slots)
