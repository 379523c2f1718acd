"""The quality mode: whole clips, many steps, guidance, and any autoencoder; for recordings.

Legend: T frames of a clip, F its latent frames, C latent channels, M tokens of a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.engines.guides import guides_of, light_at
from realmaster_live.engines.noise import draw
from realmaster_live.engines.options import Precision
from realmaster_live.engines.sizes import check_frames, check_size, filled, spec_text
from realmaster_live.engines.torch.adapters import Adapters
from realmaster_live.engines.torch.device import memory_checked, torch_modes
from realmaster_live.engines.torch.opening import open_model
from realmaster_live.errors import EngineError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.autoencoders.films import film_length
from realmaster_live.model.autoencoders.interface import Autoencoder, empty_memories
from realmaster_live.model.in_context import Pair, rope_at
from realmaster_live.model.networks import Networks, expert_at
from realmaster_live.model.sampling import euler_step, flow_start
from realmaster_live.model.vae import to_bytes, to_cells
from realmaster_live.model.whole_clip import guided, predict_clip, reference_pairs
from realmaster_live.prompts import AS_SIMULATED, NEGATIVE, check_prompt

NEGATIVES = (NEGATIVE, "")  # default names of the prompt that guidance leads away from
STEPS = 30
CLIP = 81  # frames of the clips on which Wan was trained
MAX_KEPT_BYTES = 2**34  # of the references' keys and values; larger ones are recomputed


class QualityEngine:
    """Realizes each chunk as a clip of its own: nothing is carried from one to the next.

    Attributes:
        name: the checkpoint's folder, or "networks". profile: the sizes of the model.
        prompts: the prompts that it has embeddings of.
    """

    def __init__(
        self,
        checkpoint: Path | str | Networks,
        *,
        width: int,  # pixels
        height: int,  # pixels
        fps: float = 16.0,
        steps: int | None = None,
        guidance: float = 5.0,
        negative: str | None = None,
        clip: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        threads: int = 0,
        precision: Precision | None = None,
        prompt: str | None = None,
        prompts: Mapping[str, NDArray[np.float32]] | None = None,
        adapter: Adapters | Path | str = (),
        ignore_unsupported: bool = False,
        autoencoder: Autoencoder | None = None,
    ) -> None:
        """Load a checkpoint folder, or take over given networks and change them in place.

        `steps` is 30 by default. With `guidance` 1, a step is one pass, else two: `negative` names
        the prompt that guidance leads away from ("negative" or an empty text by default; Ho and
        Salimans 2022). `clip` is the number of frames of a chunk, at most 81 by default; the
        nearest lower number that the autoencoder accepts is used. `autoencoder` replaces the
        checkpoint's. Of two experts that do not fit on the device together, one is there at a
        time. The other arguments are those of `TorchEngine`.
        """
        opened = self._opened = open_model(
            checkpoint,
            device=device,
            precision=precision,
            adapter=adapter,
            ignore_unsupported=ignore_unsupported,
            autoencoder=autoencoder,
        )
        self.name, profile = opened.name, opened.profile
        self.profile = profile
        check_size(width, height, profile.token_stride)
        self._sigmas, self._tables = opened.schedule(STEPS if steps is None else steps, prompts)
        if not 0 <= guidance <= 100:
            raise EngineError(f"expected guidance from 0 to 100, got {guidance}: 5 is usual")
        self._guidance = guidance
        network = self._autoencoder = opened.autoencoder
        length = CLIP if clip is None else clip
        self._latents = (length - network.first_latent_frames) // network.latent_frames + 1
        if self._latents < 1:
            raise EngineError(
                f"expected a clip of at least {network.first_latent_frames} frames, got {length}: "
                "give a longer one"
            )
        frames = film_length(network, self._latents)
        self._spec = ChunkSpec(frames=frames, height=height, width=width, fps=fps)
        places = list(self._tables)
        self.prompts = self._tables[places[0]]
        self._prompt = prompt or next(iter(self.prompts), AS_SIMULATED)
        check_prompt(self._prompt, self.prompts or (AS_SIMULATED,))
        self._negative = self._choose_negative(negative)
        self._seed, self._threads = seed, threads
        with self._running():
            opened.place(places, one_at_a_time=True)
        stride = profile.token_stride
        cos, sin = rope_at(profile, [0.0], height // stride, width // stride, self._latents)
        self._rope = cos.to(opened.device), sin.to(opened.device)
        sides = 1 if self._negative is None else 2
        pairs = 2 * profile.layers * profile.width * len(cos) * (2 if opened.bf16 else 4)
        self._keeps = pairs * sides <= MAX_KEPT_BYTES

    def __repr__(self) -> str:
        """Return the model, the device, the chunks and the sampling in one line."""
        return (
            f"QualityEngine({self._opened.described()}, {spec_text(self._spec)}, "
            f"{len(self._sigmas) - 1} steps, guidance {self._guidance:g})"
        )

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes: whole clips."""
        return self._spec

    def reset(self) -> None:
        """Do nothing: a clip does not depend on earlier ones."""

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Use a prompt from the next clip on, without a fade: a clip has one prompt."""
        check_prompt(prompt, self.prompts or (AS_SIMULATED,))
        self._prompt = prompt

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames."""
        check_frames(chunk, self._spec, self.profile.token_stride, self._spec.frames)
        network = self._autoencoder
        whole = replace(self._spec, frames=self._latents * network.latent_frames)
        frames = filled(chunk.frames, whole.frames)
        device, each = self._opened.device, network.latent_frames
        shapes = None
        if self.profile.geometry:
            geometry = guides_of(chunk, self.profile, whole.frames)["geometry"]
            shapes = torch.split(torch.from_numpy(geometry).to(device), each)
        lights: list[Tensor | None] = [None] * self._latents
        if self.profile.light:
            ends = range(len(chunk) - 1 - each * (self._latents - 1), len(chunk), each)
            known = np.stack([light_at(chunk, end, network.latent_stride) for end in ends])
            lights = list(torch.split(torch.from_numpy(known).to(device), 1))
        with self._running():
            cells = [
                to_cells(torch.from_numpy(part)[None].to(self._opened.device))
                for part in np.split(frames, self._latents)
            ]
            reference = self._encode(cells, lights)
            noise = torch.from_numpy(draw(tuple(reference.shape), self._seed)).to(reference)
            latent = self._sample(reference, noise)
            decoded = self._decode(latent, cells, noise, shapes)
        realized = chunk.with_frames(decoded[-len(chunk.frames) :])
        return replace(realized, prompt=self._prompt, prompt_weight=1.0, seed=self._seed)

    def close(self) -> None:
        """Release the networks; may be called twice."""
        self._opened.release()

    def __enter__(self) -> QualityEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _choose_negative(self, name: str | None) -> str | None:
        """Return the name of the prompt that guidance leads away from; None without guidance."""
        if self._guidance == 1.0 or not self.prompts:
            return None
        if name is not None:
            check_prompt(name, self.prompts)
            return name
        found = next((name for name in NEGATIVES if name in self.prompts), None)
        if found is None:
            raise EngineError(
                f"expected a prompt called {NEGATIVE!r} to lead away from with guidance "
                f"{self._guidance:g}, got {', '.join(self.prompts)}: embed one with realmaster "
                "prompts, name one with --negative, or use --guidance 1"
            )
        return found

    def _memories(self) -> tuple[Tensor, Tensor]:
        spec, opened = self._spec, self._opened
        memories = empty_memories(self._autoencoder, 1, spec.height, spec.width)
        encoder, decoder = (memory.to(opened.device, opened.dtype) for memory in memories)
        return encoder, decoder

    def _encode(
        self, cells: list[Tensor], lights: Sequence[Tensor | None]
    ) -> Tensor:  # -> (1, C, F, h, w), or without F
        """Return the clip's latent, encoded frame by frame to save memory."""
        memory, _ = self._memories()
        latents = []
        for part, light in zip(cells, lights, strict=True):
            latent, memory = self._autoencoder.encode(part, memory, light)
            latents.append(latent.float() if latent.ndim == 4 else latent[:, :, 0].float())
        return latents[0] if len(latents) == 1 else torch.stack(latents, 2)

    def _decode(
        self,
        latent: Tensor,
        cells: list[Tensor],
        noise: Tensor,
        geometry: Sequence[Tensor] | None,
    ) -> NDArray[np.uint8]:
        """Return the frames of a clip's latent, (T, H, W, 3)."""
        _, memory = self._memories()
        latents = [latent] if latent.ndim == 4 else latent.unbind(2)
        noises = [noise] if noise.ndim == 4 else noise.unbind(2)
        shapes = [None] * len(cells) if geometry is None else geometry
        frames = []
        for latent_frame, part, eps, shape in zip(latents, cells, noises, shapes, strict=True):
            decoded, memory = self._autoencoder.decode(latent_frame, part, memory, eps, shape)
            frames.append(to_bytes(decoded, self._autoencoder.latent_frames)[0].cpu())
        return torch.cat(frames).numpy()

    def _sample(self, reference: Tensor, noise: Tensor) -> Tensor:
        """Return the clean latent by Euler steps, with each expert at its own timesteps."""
        x = flow_start(self.profile, noise, reference)
        names = [self._prompt] if self._negative is None else [self._negative, self._prompt]
        serving: int | None = None
        prompts: list[Tensor | None] = [None for _ in names]
        pairs: list[list[Pair] | None] = [None for _ in names]
        for t, t_next in pairwise(self._sigmas):
            place = expert_at(self.profile, t)
            model = self._opened.transformers[place]
            if place != serving:
                serving = place
                self._opened.bring(place)
                prompts = [self._prompt_kv(place, name) for name in names]
                if self._keeps and self.profile.in_context:
                    pairs = [reference_pairs(model, reference, self._rope, kv) for kv in prompts]
            predictions = [
                predict_clip(
                    model, x, torch.full((1,), t, device=x.device), self._rope, reference, kv, known
                )
                for kv, known in zip(prompts, pairs, strict=True)
            ]
            x0 = predictions[-1]
            if self._negative is not None:
                x0 = guided(predictions[0], x0, self._guidance)
            x = euler_step(x, x0.float(), t, t_next)
        return x

    def _prompt_kv(self, place: int, name: str) -> Tensor | None:
        """Return a prompt's keys and values for an expert; None for a model without prompts."""
        if not self.prompts:
            return None
        text = torch.from_numpy(self._tables[place][name])[None].to(self._opened.device)
        return self._opened.transformers[place].prompt(text)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Set torch's modes, and turn a failed allocation into OutOfMemory."""
        opened = self._opened
        modes = torch_modes(opened.device, bf16=opened.bf16, threads=self._threads)
        with memory_checked(self._spec, opened.device, self.profile), modes:
            yield
