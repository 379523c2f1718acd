"""A streaming autoencoder: encodes four frames to one latent, and decodes guided by the render.

Its only memory is the features of the previous four frames at an eighth of the resolution. Nothing
older is kept, so a run of any length behaves like the two steps of training. A chunk of several
latent frames takes as many steps. The memories of encoder and decoder have the same channels.

Legend: that of `realmaster_live.model.autoencoders.interface`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realmaster_live.model.autoencoders.interface import (
    CELL,
    CELL_CHANNELS,
    MEMORY_STRIDE,
    Autoencoder,
)
from realmaster_live.model.geometry_guide import CHANNELS as GEOMETRY_CHANNELS
from realmaster_live.model.light_guide import LIGHTS
from realmaster_live.model.precipitation import Precipitation
from realmaster_live.model.profile import Profile


def latent_frames(profile: Profile) -> int:
    """Return the number of frames that one latent frame encodes."""
    return profile.chunk_frames // profile.chunk_latents


def to_cells(frames: Tensor) -> Tensor:  # (B, T, H, W, 3) uint8 -> cells
    """Turn sRGB bytes into cells; channels run over row, column and colour."""
    batch, time, height, width, _ = frames.shape
    rows, columns = height // CELL, width // CELL
    # ONNX Runtime runs two single-axis permutes many times faster than one general permute.
    strips = frames.reshape(batch * time, rows, CELL, width * 3).transpose(1, 2)
    cells = strips.reshape(batch * time * CELL, rows * columns, CELL * 3).transpose(1, 2)
    return cells.reshape(batch * time, CELL_CHANNELS, rows, columns).float() * (2.0 / 255.0) - 1.0


def to_pixels(cells: Tensor, frames: int) -> Tensor:  # cells -> (B, T, H, W, 3)
    """Unfold cells into pixels; values and dtype stay."""
    pictures, _, rows, columns = cells.shape
    strips = cells.reshape(pictures * CELL, CELL * 3, rows * columns).transpose(1, 2)
    lines = strips.reshape(pictures, CELL, rows, columns * CELL * 3).transpose(1, 2)
    return lines.reshape(pictures // frames, frames, rows * CELL, columns * CELL, 3)


def to_bytes(cells: Tensor, frames: int) -> Tensor:  # cells -> (B, T, H, W, 3) uint8
    """Turn cells into sRGB bytes, rounded and clipped."""
    scaled = (cells * 127.5 + 127.5).clamp(0.0, 255.0).round()
    return to_pixels(scaled.to(torch.uint8), frames)


class Fold(nn.Conv2d):
    """A convolution of stride `factor` whose kernel spans `reach` (odd) strides in both directions.

    Except in an export it runs as pixel-unshuffle and a convolution of stride 1, which computes the
    same sums but has several times faster gradients on a CPU.
    """

    def __init__(
        self, inside: int, outside: int, factor: int = 2, reach: int = 1, *, bias: bool = True
    ) -> None:
        padding = factor * (reach // 2)
        super().__init__(inside, outside, factor * reach, stride=factor, padding=padding, bias=bias)
        self.factor, self.reach = factor, reach

    def forward(self, x: Tensor) -> Tensor:
        """Return the tensor downsampled by `factor` in height and width."""
        if torch.compiler.is_exporting():
            return super().forward(x)
        steps = (self.reach, self.factor)
        weight = torch.unflatten(torch.unflatten(self.weight, 3, steps), 2, steps)
        weight = weight.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        folded = nn.functional.pixel_unshuffle(x, self.factor)
        return nn.functional.conv2d(folded, weight, self.bias, padding=self.reach // 2)


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a skip connection.

    There is no normalisation: statistics over a picture would differ between sizes and flicker.
    """

    def __init__(self, channels: int, extra: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels + extra, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """Return x plus the branch; `beside` is an extra input of the branch only."""
        seen = x if beside is None else torch.cat((x, beside.to(x.dtype)), 1)
        branch: Tensor = self.conv2(torch.relu(self.conv1(seen)))
        return x + branch


class Encoder(nn.Module):
    """Encodes frames to latents."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.frames, self.kept = latent_frames(profile), profile.memory
        middle, deep = profile.middle, profile.deep
        self.stem = Fold(CELL_CHANNELS, 2 * profile.fine, 4)
        self.mix = nn.Conv2d(2 * profile.fine * self.frames, middle, 1)
        self.recall = Residual(middle, profile.memory)
        self.down = Fold(middle, deep, profile.latent_stride // MEMORY_STRIDE)
        self.deep = Residual(deep)
        self.out = nn.Conv2d(deep, profile.latent_channels, 1)

    def forward(self, cells: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return raw latents (B, C, H / s, W / s) of T / F frames, and the next memory."""
        x = torch.relu(self.stem(cells))
        x = self.mix(torch.unflatten(x, 0, (-1, self.frames)).flatten(1, 2))
        kept = x[:, : self.kept]
        x = self.down(torch.relu(self.recall(x, memory)))
        return self.out(torch.relu(self.deep(x))), kept


class Light(nn.Module):
    """What the light of `model.light_guide` adds to a normalised latent: nothing where unknown.

    It depends on what the place and the whole picture show: the sun alone says little of a place.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.place = nn.Conv2d(channels + len(LIGHTS), hidden, 1)
        self.whole = nn.Conv2d(channels, hidden, 1, bias=False)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.out = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, latent: Tensor, light: Tensor) -> Tensor:
        """Return the sum (B, C, h, w) for a latent (B, C, h, w) and its light (B, L, h, w)."""
        seen = self.place(torch.cat((latent, light.to(latent.dtype)), 1))
        x = torch.relu(seen + self.whole(latent.mean((2, 3), keepdim=True)))
        out: Tensor = self.out(torch.relu(self.mix(x)))
        return out * light[:, :1]  # 1 where it is known


def repeated(x: Tensor, times: int) -> Tensor:  # (B, C, h, w) -> (B, C, times h, times w)
    """Return features with each place repeated `times` times along both sides."""
    if times == 1:
        return x
    batch, channels, rows, columns = x.shape
    # As planes of one channel: ONNX Runtime repeats channels-last many times more slowly.
    planes = nn.functional.interpolate(
        x.reshape(batch * channels, 1, rows, columns), scale_factor=float(times), mode="nearest"
    )
    return planes.reshape(batch, channels, times * rows, times * columns)


class GuidedDecoder(nn.Module):
    """Decodes latents to photoreal frames, guided by the rendered frames.

    The latents determine appearance, the render determines geometry. Every pixel is the rendered
    pixel times a gain plus a residual, both predicted at half resolution. So paint and text stay
    sharp, and a game's jagged edges can be smoothed. With `Profile.geometry`, depth, normals and
    classes guide it too, where the simulator tells them (`model.geometry_guide`). Light and tint,
    which vary slowly over a picture, also come directly from the latents, as one gain and one
    offset per colour and latent position (after Gharbi et al. 2017, section 3.2). From one
    resolution to the next, features are repeated and not unfolded: unfolding rules plain surfaces
    with lines. What the latents bring is the same for the frames of a chunk; only the render moves.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.frames, self.kept, self.fine = latent_frames(profile), profile.memory, profile.fine
        self.stride, self.rise = profile.latent_stride, profile.latent_stride // MEMORY_STRIDE
        fine, middle, deep, half = profile.fine, profile.middle, profile.deep, profile.half
        self.lift = nn.Conv2d(profile.latent_channels, deep, 3, padding=1)
        self.deep = Residual(deep)
        self.up = nn.Conv2d(deep, middle, 1)
        self.guide = Fold(CELL_CHANNELS, fine, reach=3)
        self.guide_down = Fold(fine, 2 * fine)
        self.guide_mix = nn.Conv2d(2 * fine * self.frames, middle, 1)
        self.recall = Residual(middle, profile.memory)
        self.middle = Residual(middle)
        self.spread = nn.Conv2d(middle, fine, 1)
        self.fine1 = Residual(fine)
        self.half_spread = nn.Conv2d(fine, half, 1)
        self.half_guide = nn.Conv2d(CELL_CHANNELS, half, 3, padding=1)
        self.half_mix = nn.Conv2d(half, half, 3, padding=1)
        self.write = nn.Conv2d(half, 2 * CELL_CHANNELS, 3, padding=1)  # residual, gain
        self.tone = nn.Conv2d(profile.latent_channels, 6, 1)
        for layer in (self.write, self.tone):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.write_as_rendered()
        if profile.geometry:
            self.fine_geometry = Fold(GEOMETRY_CHANNELS, fine, bias=False)
            self.half_geometry = nn.Conv2d(GEOMETRY_CHANNELS, half, 1, bias=False)
            nn.init.zeros_(self.fine_geometry.weight)
            nn.init.zeros_(self.half_geometry.weight)
        if profile.falling:
            self.falling = Precipitation(
                profile.latent_channels, profile.latent_stride, self.frames
            )

    def forward(
        self,
        latent: Tensor,
        cells: Tensor,
        memory: Tensor,
        noise: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return cells of T / F frames and the next memory.

        `cells` holds the rendered frames; if it is all zero (mid grey), the latents alone determine
        the picture. Without `noise` no precipitation is drawn. `geometry` is in [0, 1]; zero and
        None are the same.
        """
        x = self.up(torch.relu(self.deep(self.lift(latent))))
        x = repeated(x, self.rise)
        guide, half = self.guide(cells), self.half_guide(cells)
        if geometry is not None:
            guide = guide + self.fine_geometry(geometry)
            half = half + self.half_geometry(geometry)
        guide = torch.relu(guide)
        below = torch.relu(self.guide_down(guide))
        x = x + self.guide_mix(torch.unflatten(below, 0, (-1, self.frames)).flatten(1, 2))
        kept = x[:, : self.kept]
        x = self.middle(self.recall(x, memory))
        x = self.every_frame(self.spread(torch.relu(x)))
        x = torch.relu(self.fine1(guide + repeated(x, 2)))
        x = repeated(self.half_spread(x), 2)
        x = torch.relu(x + half)
        x = torch.relu(self.half_mix(x))
        residual, gain = self.write(x).chunk(2, 1)
        frames = cells * gain + residual
        gain, offset = self.tones(latent)
        frames = frames * gain + offset
        if noise is not None:
            frames = self.falling(frames, latent, noise)
        return frames, kept

    @torch.no_grad()
    def write_as_rendered(self) -> None:
        """Set the biases by which pixels are written to no residual and a gain of 1."""
        assert self.write.bias is not None
        self.write.bias.copy_(torch.tensor([0.0, 1.0]).repeat_interleave(CELL_CHANNELS))

    def every_frame(self, x: Tensor) -> Tensor:  # (B, C, h, w) -> (B * T, C, h, w), or (1, ...)
        """Return a chunk's features for each of its frames; those of one chunk broadcast."""
        return x.repeat_interleave(self.frames, 0) if len(x) > 1 else x

    def tones(self, latent: Tensor) -> tuple[Tensor, Tensor]:  # -> 2 x (B * T, 12, H / 2, W / 2)
        """Return smooth gains, around 1, and offsets, the same for all frames of a chunk."""
        gain, offset = self.tone(latent).chunk(2, 1)
        smooth = nn.functional.interpolate(
            torch.cat([gain + 1.0, offset], 1),
            scale_factor=self.stride / CELL,
            mode="bilinear",
            align_corners=False,
        )
        tones = self.every_frame(smooth).chunk(2, 1)
        gain, offset = (half.repeat(1, CELL * CELL, 1, 1) for half in tones)
        return gain, offset


class StreamingAutoencoder(Autoencoder):
    """Encoder, guided decoder and the latents' statistics, by which its latents are normalised."""

    decoder: GuidedDecoder
    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        self.latent_channels, self.latent_stride = profile.latent_channels, profile.latent_stride
        self.latent_frames = self.first_latent_frames = latent_frames(profile)
        self.encoder_memory = self.decoder_memory = profile.memory
        self.guided = True
        self.encoder = Encoder(profile)
        self.decoder = GuidedDecoder(profile)
        if profile.light:
            self.light = Light(profile.latent_channels, profile.middle)
        self.register_buffer("latents_mean", torch.zeros(profile.latent_channels))
        self.register_buffer("latents_std", torch.ones(profile.latent_channels))

    def empty_memory(self, batch: int, height: int, width: int) -> Tensor:
        """Return the memory after a reset, (B, M, H / 8, W / 8) zeros."""
        return torch.zeros(batch, self.profile.memory, height // 8, width // 8)

    def encode(
        self, cells: Tensor, memory: Tensor, light: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return a chunk's normalised latent and the next memory.

        `light` is added to every latent frame; only profiles with light use it.
        """
        latents = []
        for part in self.steps(cells, len(memory)):
            raw, memory = self.encoder(part, memory)
            mean, std = (x[:, None, None] for x in (self.latents_mean, self.latents_std))
            latent = (raw - mean) / std
            if light is not None and self.profile.light:
                latent = latent + self.light(latent, light)
            latents.append(latent)
        return latents[0] if len(latents) == 1 else torch.stack(latents, 2), memory

    def decode(
        self,
        latent: Tensor,
        cells: Tensor | None,
        memory: Tensor,
        noise: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return cells of a chunk's frames and the next memory; the latent is normalised.

        `noise` is the noise that the latent was denoised from; only profiles with precipitation use
        it, and only those with geometry use that.
        """
        mean, std = (x[:, None, None] for x in (self.latents_mean, self.latents_std))
        decoded = []
        latents = self.frames_of(latent)
        if cells is None:
            pictures = len(memory) * self.latent_frames * len(self.frames_of(latent))
            rows, columns = (side * self.latent_stride // CELL for side in latent.shape[-2:])
            cells = latent.new_zeros(pictures, CELL_CHANNELS, rows, columns)
        drawn = noise if self.profile.falling else None
        nothing = [None] * len(latents)
        chance = nothing if drawn is None else self.frames_of(drawn)
        shapes: Sequence[Tensor | None] = nothing
        if geometry is not None and self.profile.geometry:
            shapes = self.steps(geometry.to(cells.dtype) * (1.0 / 255.0), len(memory))
        guides = self.steps(cells, len(memory))
        for one, part, eps, shape in zip(latents, guides, chance, shapes, strict=True):
            frames, memory = self.decoder(one * std + mean, part, memory, eps, shape)
            decoded.append(frames)
        if len(decoded) == 1:
            return decoded[0], memory
        films = [torch.unflatten(x, 0, (len(memory), -1)) for x in decoded]
        return torch.cat(films, 1).flatten(0, 1), memory

    def steps(self, cells: Tensor, batch: int) -> list[Tensor]:
        """Split a chunk's cells by latent frame."""
        each = torch.unflatten(cells, 0, (batch, -1))
        if each.shape[1] == self.latent_frames:
            return [cells]
        return [part.flatten(0, 1) for part in torch.split(each, self.latent_frames, 1)]

    def frames_of(self, latent: Tensor) -> list[Tensor]:
        """Split a chunk's latent by latent frame."""
        return [latent] if latent.ndim == 4 else list(latent.unbind(2))


def in_present_form(tensors: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return an autoencoder's tensors with those of former layers in the form of the present ones.

    A layer that unfolded features into blocks of n places had n times as many outputs, and the
    decoder's `spread` as many again for each frame of a chunk. The mean over places and frames is
    what it made of plain surfaces, without lines and without change from frame to frame. Residual
    and gain, which one layer writes, were written by two, the gain by 1 x 1 weights and less 1.
    """
    if not isinstance(module, StreamingAutoencoder):
        return tensors
    expected, given = module.state_dict(), dict(tensors)
    for layer, frames in (("decoder.up", 1), ("decoder.spread", module.decoder.frames)):
        for name in (f"{layer}.weight", f"{layer}.bias"):
            tensor, outputs = given.get(name), len(expected[name])
            if tensor is None or len(tensor) == outputs or len(tensor) % (frames * outputs):
                continue
            given[name] = torch.unflatten(tensor, 0, (frames, outputs, -1)).mean((0, 2))
    former = [
        f"decoder.{layer}.{kind}" for layer in ("rest", "gain") for kind in ("weight", "bias")
    ]
    if all(name in given for name in former):
        rest, rest_bias, gain, gain_bias = (given.pop(name) for name in former)
        wide = nn.functional.pad(gain, (1, 1, 1, 1))
        given["decoder.write.weight"] = torch.cat([rest, wide])
        given["decoder.write.bias"] = torch.cat([rest_bias, gain_bias + 1.0])
    return given
