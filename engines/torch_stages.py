"""The stages of a chunk, as passes of the networks over fixed buffers.

Each reads and writes buffers only, so it runs as it is, compiled, or from a CUDA graph.

Legend: P tokens of the past.
"""

from __future__ import annotations

from torch import Tensor

from realmaster_live.engines.torch_buffers import Buffers
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import Pair, rotate
from realmaster_live.model.sampling import euler_step
from realmaster_live.model.vae import StreamingAutoencoder, to_bytes, to_cells


class Stages:
    """What happens to a chunk, in order: encode, context, denoise, decode, commit, turn.

    With `recompute`, the reference's keys and values are computed anew in every pass.
    """

    def __init__(
        self,
        autoencoder: StreamingAutoencoder,
        transformer: InContextTransformer,
        buffers: Buffers,
        levels: list[float],
        *,
        recompute: bool,
    ) -> None:
        self.autoencoder, self.transformer = autoencoder, transformer
        self.buffers, self.levels, self.recompute = buffers, levels, recompute

    def encode(self) -> None:
        """Turn the frames into the guide and the reference."""
        buffers = self.buffers
        buffers.guide.copy_(to_cells(buffers.frames[None]))
        reference, memory = self.autoencoder.encode(buffers.guide, buffers.encoder_memory)
        buffers.reference.copy_(reference)
        buffers.encoder_memory.copy_(memory)

    def context(self) -> None:
        """Compute the reference's keys, rotated, and its values."""
        buffers, transformer = self.buffers, self.transformer
        _, modulation = transformer.condition_embedder(buffers.timesteps[0.0])
        x = transformer.embed_reference(buffers.reference).float()
        _, pairs = transformer.through_blocks(x, modulation, buffers.rope, (), buffers.prompt_kv)
        for kept, (key, value) in zip(buffers.context, pairs, strict=True):
            kept[0].copy_(rotate(key, buffers.rope))
            kept[1].copy_(value)

    def denoise(self, seen: int) -> None:
        """Turn noise into the chunk's latent, P = `seen`."""
        x = self.buffers.noise
        for t, t_next in zip(self.levels[:-1], self.levels[1:], strict=True):
            embedding, hidden, _ = self._through(x, t, seen)
            buffers = self.buffers
            x0 = self.transformer.predict(
                hidden, embedding, x, buffers.timesteps[t], buffers.reference
            )
            x = euler_step(x, x0, t, t_next)
        self.buffers.latent.copy_(x)

    def decode(self) -> None:
        """Turn the latent into frames."""
        buffers = self.buffers
        cells, memory = self.autoencoder.decode(
            buffers.latent, buffers.guide, buffers.decoder_memory
        )
        buffers.decoded.copy_(to_bytes(cells, self.transformer.profile.chunk_frames)[0])
        buffers.decoder_memory.copy_(memory)

    def commit(self, seen: int, slot: int | None) -> None:
        """Keep what the clean latent's pass leaves in the ring's slot."""
        _, _, pairs = self._through(self.buffers.latent, 0.0, seen)
        if slot is not None:
            self.buffers.ring.write(pairs, slot)

    def turn(self, seen: int) -> None:
        """Rotate the kept keys for the next chunk, P = `seen` there."""
        self.buffers.ring.turn(seen)

    def _through(self, sample: Tensor, t: float, seen: int) -> tuple[Tensor, Tensor, list[Pair]]:
        """Return the timestep's embedding, and what a target's pass through the blocks gives."""
        buffers, transformer = self.buffers, self.transformer
        if self.recompute:
            self.context()
        known = [(pair[0], pair[1]) for pair in buffers.context]
        past = buffers.ring.past(seen) if seen else []
        groups = (
            [[*pair] for pair in zip(known, past, strict=True)] if seen else [[x] for x in known]
        )
        embedding, modulation = transformer.condition_embedder(buffers.timesteps[t])
        # float32 from the first block on, also under autocast: then one compilation serves all
        x = transformer.embed_target(sample, buffers.reference).float()
        hidden, pairs = transformer.through_blocks(
            x, modulation, buffers.rope, groups, buffers.prompt_kv
        )
        return embedding, hidden, pairs
