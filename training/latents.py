"""Encodes whole clips to latents, and rolls the transformer out over them.

Legend: B sequences, n chunks of a sequence, C latent channels, h w latent height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.model.cache import RingCache
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.geometry_guide import CELL, CHANNELS, DEPTHS
from realmaster_live.model.in_context import Rope, rope_at
from realmaster_live.model.light_guide import MIRRORED
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import euler_step, flow_start
from realmaster_live.model.vae import StreamingAutoencoder, to_cells
from realmaster_live.training.data import Clip, random_corner, take
from realmaster_live.training.experts import Network, commit

UNKNOWN = len(CLASS_NAMES)  # the class of pixels of a clip without labels


@dataclass(slots=True, kw_only=True)
class LatentSequence:
    """The consecutive chunks of one clip, as latents.

    Attributes:
        clip: the clip that was encoded.
        mirror: whether the frames were flipped left to right.
        phase: index of the first chunk's first frame.
        reference: (n, C, h, w), latents of the render, normalised.
        target: (n, C, h, w), latents of the truth, normalised.
        rollout: (n, C, h, w), the student's latents for the reference, once computed.
    """

    clip: Clip
    mirror: bool
    phase: int
    reference: Tensor
    target: Tensor
    rollout: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.reference)


def ropes(profile: Profile, rows: int, columns: int, times: tuple[float, ...] = (0.0,)) -> Rope:
    """Return rotary tables as tensors on torch's default device."""
    return _ropes(profile, rows, columns, times, torch.get_default_device())


@cache
def _ropes(
    profile: Profile, rows: int, columns: int, times: tuple[float, ...], device: torch.device
) -> Rope:
    cos, sin = rope_at(profile, times, rows, columns)
    return cos.to(device), sin.to(device)


def forget_ropes() -> None:
    """Drop the rotary tables that are kept."""
    _ropes.cache_clear()


@torch.no_grad()
def encode_clip(
    autoencoder: StreamingAutoencoder, clip: Clip, *, mirror: bool, phase: int
) -> LatentSequence:
    """Encode render and truth of a clip, chunk by chunk with carried memory, from frame `phase`."""
    profile = autoencoder.profile
    count = (len(clip) - phase) // profile.chunk_frames
    _, height, width, _ = clip.sim.shape
    memory = autoencoder.empty_memory(2, height, width)
    lights: Sequence[Tensor | None] = [None] * count
    if profile.light:  # the truth is encoded without
        told = clip_light(clip, profile, mirror=mirror, phase=phase, first=0, chunks=count)
        lights = list(torch.stack((told, torch.zeros_like(told)), 1))
    latents = []
    for index in range(count):
        start = phase + index * profile.chunk_frames
        pair = take(
            clip,
            start=start,
            frames=profile.chunk_frames,
            box=(0, 0, height, width),
            mirror=mirror,
        )
        cells = to_cells(torch.stack(pair))
        latent, memory = autoencoder.encode(cells, memory, lights[index])
        latents.append(latent.float())
    both = torch.stack(latents)
    return LatentSequence(
        clip=clip, mirror=mirror, phase=phase, reference=both[:, 0], target=both[:, 1]
    )


def encode_clips(
    autoencoder: StreamingAutoencoder,
    clips: Sequence[Clip],
    *,
    phases: Sequence[int] = (0,),
    mirrors: Sequence[bool] = (False,),
) -> list[LatentSequence]:
    """Encode every clip from every phase that leaves a whole chunk, unflipped and mirrored."""
    return [
        encode_clip(autoencoder, clip, mirror=mirror, phase=phase)
        for clip in clips
        for mirror in mirrors
        for phase in phases
        if phase + autoencoder.profile.chunk_frames <= len(clip)
    ]


@torch.no_grad()
def set_statistics(autoencoder: StreamingAutoencoder, clips: Sequence[Clip]) -> None:
    """Set the raw latents' mean and deviation per channel, by which latents are then normalised."""
    autoencoder.latents_mean.zero_()
    autoencoder.latents_std.fill_(1.0)
    sequences = encode_clips(autoencoder, clips)
    latents = torch.cat([torch.cat((s.reference, s.target)) for s in sequences])
    autoencoder.latents_mean.copy_(latents.mean((0, 2, 3)))
    autoencoder.latents_std.copy_(latents.std((0, 2, 3)).clamp_min(1e-3))


def draw_alike(
    sequences: Sequence[LatentSequence], rng: np.random.Generator, batch: int
) -> list[LatentSequence]:
    """Return random sequences of one size; sizes are drawn in proportion to their sequences."""
    first = sequences[int(rng.integers(len(sequences)))]
    alike = [s for s in sequences if s.target.shape[2:] == first.target.shape[2:]]
    return [first, *(alike[int(rng.integers(len(alike)))] for _ in range(batch - 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A crop of a latent: corner and size in latent positions."""

    top: int
    left: int
    rows: int
    columns: int

    def of(self, latents: Tensor) -> Tensor:  # (..., h, w) -> (..., rows, columns)
        """Return the window's crop of latents."""
        return latents[..., self.top : self.top + self.rows, self.left : self.left + self.columns]


def draw_window(
    sequence: LatentSequence, rng: np.random.Generator, *, rows: int, columns: int, step: int
) -> Window:
    """Return a random window, no larger than the picture, whose corner is a multiple of `step`."""
    _, _, h, w = sequence.target.shape
    rows, columns = min(rows, h), min(columns, w)
    return Window(
        top=random_corner(rng, h, rows, step),
        left=random_corner(rng, w, columns, step),
        rows=rows,
        columns=columns,
    )


def box_of(sequence: LatentSequence, profile: Profile, window: Window) -> tuple[int, int, int, int]:
    """Return top, left, height and width in pixels of a window, in the clip's own pictures."""
    stride = profile.latent_stride
    edge, width = window.left * stride, window.columns * stride
    if sequence.mirror:  # the window is cropped before the picture is flipped
        edge = sequence.clip.size[1] - edge - width
    return window.top * stride, edge, window.rows * stride, width


def pixels(
    sequence: LatentSequence, profile: Profile, window: Window, *, first: int, chunks: int
) -> tuple[Tensor, Tensor]:
    """Return render and truth (chunks * T, H, W, 3) uint8 of the area of a window."""
    time = profile.chunk_frames
    sim, truth = take(
        sequence.clip,
        start=sequence.phase + first * time,
        frames=chunks * time,
        box=box_of(sequence, profile, window),
        mirror=sequence.mirror,
    )
    return sim, truth


def classes(
    sequence: LatentSequence, profile: Profile, window: Window, *, first: int, chunks: int
) -> Tensor:
    """Return the classes (chunks * T, H, W) uint8 of the area of a window.

    They are `UNKNOWN` for a clip without labels.
    """
    time = profile.chunk_frames
    top, left, height, width = box_of(sequence, profile, window)
    known = sequence.clip.classes
    if known is None:
        return torch.full((chunks * time, height, width), UNKNOWN, dtype=torch.uint8)
    start = sequence.phase + first * time
    area = known[start : start + chunks * time, top : top + height, left : left + width]
    return area.flip(2) if sequence.mirror else area


def geometry(
    sequence: LatentSequence, profile: Profile, window: Window, *, first: int, chunks: int
) -> Tensor:
    """Return the geometry (chunks * T, G, H / 2, W / 2) uint8 of the area of a window.

    It is zero, which is unknown, for a clip without labels.
    """
    time = profile.chunk_frames
    top, left, height, width = (side // CELL for side in box_of(sequence, profile, window))
    known = sequence.clip.geometry
    if known is None:
        return torch.zeros(chunks * time, CHANNELS, height, width, dtype=torch.uint8)
    start = sequence.phase + first * time
    area = known[start : start + chunks * time, :, top : top + height, left : left + width]
    return mirrored(area) if sequence.mirror else area


def light(
    sequence: LatentSequence, profile: Profile, window: Window, *, first: int, chunks: int
) -> Tensor:
    """Return the light (chunks, L, h, w) of the area of a window; zero where it is unknown."""
    known = clip_light(
        sequence.clip,
        profile,
        mirror=sequence.mirror,
        phase=sequence.phase,
        first=first,
        chunks=chunks,
    )
    return window.of(known)


def clip_light(
    clip: Clip, profile: Profile, *, mirror: bool, phase: int, first: int, chunks: int
) -> Tensor:  # (chunks, L, h, w)
    """Return the light at the last frame of each chunk."""
    ends = range(phase + profile.chunk_frames - 1, len(clip), profile.chunk_frames)
    wanted = ends[first : first + chunks]
    known = np.stack([clip.light(end, profile.latent_stride) for end in wanted])
    if mirror:
        known = known[..., ::-1].copy()
        known[:, MIRRORED] *= -1
    return torch.from_numpy(known).to(torch.get_default_device())


def mirrored(shapes: Tensor) -> Tensor:
    """Return the geometry (..., G, h, w) of pictures mirrored left to right."""
    flipped = shapes.flip(-1)
    flipped[..., DEPTHS.index("normal x"), :, :].neg_()  # of bytes: 256 - x, and 0 stays 0
    return flipped


def without(shapes: Tensor, *, depth: bool = False, classes: bool = False) -> Tensor:
    """Return geometry (..., G, h, w) in which depth or classes are unknown."""
    left = shapes.clone()
    if depth:
        left[..., : len(DEPTHS), :, :] = 0
    if classes:
        left[..., len(DEPTHS) :, :, :] = 0
    return left


def prompt_kv(transformer: InContextTransformer, names: Sequence[str]) -> Tensor | None:
    """Return the learnt prompts' keys and values (L, 2, B, H, M, D); None without prompts."""
    known = transformer.profile.prompts
    if not known:
        return None
    places = torch.tensor([known.index(name) for name in names])
    return transformer.prompt(transformer.prompt_embedding[places])


def long_enough(sequences: Sequence[LatentSequence], chunks: int) -> list[LatentSequence]:
    """Return the sequences of at least `chunks` chunks; raise PairError if there are none."""
    usable = [sequence for sequence in sequences if len(sequence) >= chunks]
    if not usable:
        raise PairError(
            f"expected clips of at least {chunks} chunks, got {len(sequences)} shorter sequences: "
            "render longer clips, or lower `chunks` in the recipe"
        )
    return usable


def empty_past(reference_kv: Tensor) -> Tensor:
    """Return the past after a reset: no keys."""
    return reference_kv[..., :0, :]


class Rollout:
    """The transformer over consecutive chunks, as the live engine runs it.

    The ring cache holds the transformer's own results, without gradients. If a chunk is several
    latent frames, latents are (B, C, F, h, w).
    """

    def __init__(self, transformer: Network, levels: Sequence[float]) -> None:
        self.transformer, self.levels = transformer, list(levels)
        self.cache = RingCache(transformer.profile)

    def past_of(self, reference_kv: Tensor, rows: int, columns: int) -> tuple[Tensor, Rope]:
        """Return the cached keys and values, and their rotations."""
        times = tuple(self.cache.times())
        rope = ropes(self.transformer.profile, rows, columns, times)
        return self.cache.past(reference_kv), rope

    def chunk(
        self,
        reference: Tensor,  # (B, C, h, w)
        noise: Tensor,  # (B, C, h, w)
        prompt: Tensor | None = None,  # (L, 2, B, H, M, D) keys and values
        gradient_step: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the clean latent, and x0 of the step with gradients, if there is one."""
        transformer, profile = self.transformer, self.transformer.profile
        rows, columns = (side // profile.patch for side in reference.shape[-2:])
        rope = ropes(profile, rows, columns)
        with torch.set_grad_enabled(gradient_step is not None):
            context = transformer.context(reference, rope, prompt)
        past, past_rope = self.past_of(context, rows, columns)
        x_t, kept = flow_start(profile, noise, reference), None
        for step, (t, t_next) in enumerate(zip(self.levels[:-1], self.levels[1:], strict=True)):
            time = torch.full((len(reference),), t)
            with torch.set_grad_enabled(step == gradient_step):
                x0, _ = transformer.denoise(
                    x_t, time, reference, context, past, rope, past_rope, prompt
                )
            if step == gradient_step:
                kept = x0
            x_t = euler_step(x_t, x0.detach().float(), t, t_next)
        self.cache.push(commit(transformer, x_t, reference, context, past, rope, past_rope, prompt))
        return x_t, kept


@torch.no_grad()
def roll_out(
    transformer: InContextTransformer,
    references: Tensor,  # (n, B, C, h, w)
    levels: Sequence[float],
    generator: torch.Generator,
    names: Sequence[str],  # B prompts
) -> Tensor:  # (n, B, C, h, w)
    """Return the latents of consecutive chunks; as in the engines, all share one draw of noise."""
    rollout = Rollout(transformer, levels)
    prompt = prompt_kv(transformer, names)
    noise = torch.randn(references.shape[1:], generator=generator)
    return torch.stack([rollout.chunk(reference, noise, prompt)[0] for reference in references])
