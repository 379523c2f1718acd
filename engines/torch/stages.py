"""The stages of a chunk, as passes of the networks over fixed buffers.

Each stage reads and writes buffers only, so it can run eagerly, compiled, or from a CUDA graph.

Legend: P tokens of the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from realmaster_live.engines.slots import Slots
from realmaster_live.engines.torch.buffers import Buffers
from realmaster_live.engines.torch.expert import Expert
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.sampling import euler_step, flow_start
from realmaster_live.model.vae import to_bytes, to_cells


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

    def encode(self) -> None:
        """Encode the frames to the guide and the reference."""
        buffers = self.buffers
        buffers.guide.copy_(to_cells(buffers.frames[None]))
        reference, memory = self.autoencoder.encode(buffers.guide, buffers.encoder_memory)
        buffers.reference.copy_(reference)
        buffers.encoder_memory.copy_(memory)

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
        cells, memory = self.autoencoder.decode(
            buffers.latent, buffers.guide, buffers.decoder_memory, buffers.noise
        )
        buffers.decoded.copy_(to_bytes(cells, len(buffers.decoded))[0])
        buffers.next_decoder_memory.copy_(memory)

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
