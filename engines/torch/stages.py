"""The stages of a chunk, as passes of the networks over fixed buffers.

Each reads and writes buffers only, so it runs as it is, compiled, or from a CUDA graph.

Legend: P tokens of the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from realmaster_live.engines.torch.buffers import Buffers
from realmaster_live.engines.torch.expert import Expert
from realmaster_live.model.sampling import euler_step
from realmaster_live.model.vae import StreamingAutoencoder, to_bytes, to_cells


class Stages:
    """A chunk's stages, in order: encode, context, denoise, decode, commit, settle, rotate_past.

    The last two run when the next chunk comes: until then, everything from denoise on can be run
    again from other noise. Every expert has its own context, commit, settle and rotate_past;
    `serving` gives the expert of each denoise step.
    """

    def __init__(
        self,
        autoencoder: StreamingAutoencoder,
        serving: Sequence[Expert],  # one for each step
        buffers: Buffers,
        levels: Sequence[float],  # one more than steps
    ) -> None:
        self.autoencoder, self.serving = autoencoder, serving
        self.experts = list(dict.fromkeys(serving))
        self.buffers, self.levels = buffers, levels

    def encode(self) -> None:
        """Turn the frames into the guide and the reference."""
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
        """Turn noise into the chunk's latent, P = `past_tokens`."""
        x = self.buffers.noise
        for expert, (t, t_next) in zip(self.serving, pairwise(self.levels), strict=True):
            x = euler_step(x, expert.predict(x, t, past_tokens), t, t_next)
        self.buffers.latent.copy_(x)

    def decode(self) -> None:
        """Turn the latent into frames."""
        buffers = self.buffers
        noise = buffers.noise if self.autoencoder.profile.falling else None
        cells, memory = self.autoencoder.decode(
            buffers.latent, buffers.guide, buffers.decoder_memory, noise
        )
        buffers.decoded.copy_(to_bytes(cells, len(buffers.decoded))[0])
        buffers.next_decoder_memory.copy_(memory)

    def commit(self, past_tokens: int) -> None:
        """Run the pass over the clean latent, whose keys and values wait for `settle`."""
        for expert in self.experts:
            expert.commit(past_tokens)

    def settle(self, slot: int | None) -> None:
        """Make the chunk part of the past: fill its slot of the ring and the decoder's memory."""
        buffers = self.buffers
        buffers.decoder_memory.copy_(buffers.next_decoder_memory)
        if slot is not None:
            for state in buffers.states:
                state.ring.place(slot)

    def rotate_past(self, past_tokens: int) -> None:
        """Rotate the ring's keys for the next chunk, which has P = `past_tokens`."""
        for expert in self.experts:
            expert.rotate_past(past_tokens)
