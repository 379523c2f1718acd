"""Wan's own video autoencoder (2.1 and 2.2), streamed with an explicit memory.

Layout and tensor names are those of diffusers' AutoencoderKLWan. Every causal convolution keeps the
last frames of its input. A stream's first latent stands for one frame, which passes unchanged
through the layers that halve or double time. Convolutions see zeros before this frame, as at the
start of a video.

Legend: B batch, T frames, F latent frames, C channels, H W positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import (
    Autoencoder,
    from_planes,
    join,
    memory_channels,
    planes,
    split,
)
from realmaster_live.model.autoencoders.wan_layers import (
    Builder,
    Causal,
    Downsample,
    Middle,
    Norm,
    ResidualBlock,
    Stream,
    Upsample,
    film_of,
    pictures_of,
)

FRAMES = 4  # frames of a latent


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The sizes of an autoencoder, with the names and defaults of diffusers' config.json."""

    base_dim: int = 96
    decoder_base_dim: int | None = None
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    temperal_downsample: tuple[bool, ...] = (False, True, True)
    latents_mean: tuple[float, ...] = ()
    latents_std: tuple[float, ...] = ()
    is_residual: bool = False
    patch_size: int | None = None

    @property
    def patch(self) -> int:
        """Return the pixels along one side of an input position."""
        return self.patch_size or 1

    @property
    def stages(self) -> list[tuple[bool, bool]]:
        """Return, for each of the encoder's stages, whether it halves space and whether time."""
        return [(True, time) for time in self.temperal_downsample] + [(False, False)]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], *, source: str) -> Layout:
        """Return the layout in a config.json; raise BuildError if it is of another network."""
        known = {each.name for each in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config.items()
            if name in known
        }
        layout = cls(**values)
        whole = all(len(x) == layout.z_dim for x in (layout.latents_mean, layout.latents_std))
        if (
            not whole
            or config.get("attn_scales")
            or layout.patch not in (1, 2)
            or len(layout.dim_mult) != len(layout.temperal_downsample) + 1
            or sum(layout.temperal_downsample) != 2
        ):
            raise BuildError(
                f"expected the config.json of a Wan 2.1 or 2.2 autoencoder in {source}, got "
                f"{ {name: config.get(name) for name in sorted(known)} }: give the vae folder of a "
                "Wan pipeline"
            )
        return layout


def public_layout(channels: int, stride: int) -> Layout:
    """Return the layout of Wan 2.2-5B's autoencoder for 48 channels, else that of Wan 2.1's.

    The latents' mean and standard deviation stay 0 and 1.
    """
    plain = Layout(z_dim=channels, latents_mean=(0.0,) * channels, latents_std=(1.0,) * channels)
    if stride == 8:
        return plain
    return replace(plain, base_dim=160, decoder_base_dim=256, is_residual=True, patch_size=2)


class DownBlock(nn.Module):
    """A stage of Wan 2.2's encoder, with a skip connection by average pooling."""

    def __init__(
        self,
        builder: Builder,
        inside: int,
        outside: int,
        *,
        blocks: int,
        space: bool,
        time: bool,
        stride: int,
        rate: int,
    ) -> None:
        super().__init__()
        self.outside, self.space, self.time, self.rate = outside, space, time, rate
        size = {"stride": stride, "rate": rate}
        self.resnets = nn.ModuleList(
            ResidualBlock(builder, outside if place else inside, outside, **size)
            for place in range(blocks)
        )
        self.downsampler = Downsample(builder, outside, time=time, **size) if space else None

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the smaller map."""
        skip = stream.zero_if_first(x, self.rate - 1)
        for block in self.resnets:
            x = block.step(x, stream)  # type: ignore[operator]
        if self.downsampler is not None:
            x = self.downsampler.step(x, stream)
        batch, channels, frames, height, width = skip.shape
        side, times = 2 if self.space else 1, 2 if self.time else 1
        rows, columns = height // side, width // side
        cut = skip.reshape(batch, channels, frames // times, times, rows, side, columns, side)
        cut = cut.permute(0, 1, 3, 5, 7, 2, 4, 6)
        grouped = cut.reshape(batch, self.outside, -1, frames // times, rows, columns)
        return x + grouped.mean(2)


class UpBlock(nn.Module):
    """A stage of the decoder; Wan 2.2's has a skip connection by repetition."""

    def __init__(
        self,
        builder: Builder,
        inside: int,
        outside: int,
        *,
        blocks: int,
        space: bool,
        time: bool,
        residual: bool,
        stride: int,
        rate: int,
    ) -> None:
        super().__init__()
        self.outside, self.time, self.skips = outside, time, residual and space
        size = {"stride": stride, "rate": rate}
        self.resnets = nn.ModuleList(
            ResidualBlock(builder, outside if place else inside, outside, **size)
            for place in range(blocks + 1)
        )
        self.up = "upsampler" if residual else "upsamplers"
        if space:
            after = outside if residual else outside // 2
            double = Upsample(builder, outside, after, time=time, **size)
            setattr(self, self.up, double if residual else nn.ModuleList([double]))

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the larger map."""
        skip = x
        for block in self.resnets:
            x = block.step(x, stream)  # type: ignore[operator]
        upsampler = getattr(self, self.up, None)
        if upsampler is not None:
            x = (upsampler if isinstance(upsampler, Upsample) else upsampler[0]).step(x, stream)
        if not self.skips:
            return x
        times = 2 if self.time else 1
        batch, channels, frames, rows, columns = skip.shape
        copies = skip.repeat_interleave(self.outside * times * 4 // channels, 1)
        places = copies.reshape(batch, self.outside, times, 2, 2, frames, rows, columns)
        grown = places.permute(0, 1, 5, 2, 6, 3, 7, 4)
        return x + grown.reshape(batch, self.outside, frames * times, 2 * rows, 2 * columns)


class Encoder(nn.Module):
    """Encodes pictures to means and log variances of raw latents."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        builder, stride, rate = Builder(), layout.patch, FRAMES
        widths = [layout.base_dim * m for m in (1, *layout.dim_mult)]
        inside = 3 * layout.patch**2
        self.conv_in = Causal(builder, inside, widths[0], stride=stride, rate=rate)
        self.down_blocks = nn.ModuleList()
        for place, (space, time) in enumerate(layout.stages):
            inside, outside = widths[place : place + 2]
            size = {"stride": stride, "rate": rate}
            if layout.is_residual:
                self.down_blocks.append(
                    DownBlock(
                        builder,
                        inside,
                        outside,
                        blocks=layout.num_res_blocks,
                        space=space,
                        time=time,
                        **size,
                    )
                )
            else:
                for _ in range(layout.num_res_blocks):
                    self.down_blocks.append(ResidualBlock(builder, inside, outside, **size))
                    inside = outside
                if space:
                    self.down_blocks.append(Downsample(builder, outside, time=time, **size))
            stride, rate = stride * (2 if space else 1), rate // (2 if time else 1)
        self.mid_block = Middle(builder, widths[-1], stride)
        self.norm_out = Norm(widths[-1])
        self.conv_out = Causal(builder, widths[-1], 2 * layout.z_dim, stride=stride, rate=rate)
        self.stride, self.parts = stride, builder.parts

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 2 C, F, h, w) of pictures (B, ..., T, H, W) in [-1, 1], and the memory."""
        stream = Stream(memory, self.parts)
        x = self.conv_in.step(x, stream)
        for block in (*self.down_blocks, self.mid_block):
            x = block.step(x, stream)
        x = self.conv_out.step(nn.functional.silu(self.norm_out(x)), stream)
        return x, stream.folded()


class Decoder(nn.Module):
    """Decodes raw latents to pictures."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        stages = [stage for stage in reversed(layout.stages) if stage[0]] + [(False, False)]
        stride, rate = layout.patch * 2 ** (len(stages) - 1), 1
        builder, base = Builder(), layout.decoder_base_dim or layout.base_dim
        widths = [base * m for m in (layout.dim_mult[-1], *reversed(layout.dim_mult))]
        self.conv_in = Causal(builder, layout.z_dim, widths[0], stride=stride, rate=rate)
        self.mid_block = Middle(builder, widths[0], stride)
        self.up_blocks = nn.ModuleList()
        for place, (space, time) in enumerate(stages):
            inside, outside = widths[place : place + 2]
            self.up_blocks.append(
                UpBlock(
                    builder,
                    inside if place == 0 or layout.is_residual else inside // 2,
                    outside,
                    blocks=layout.num_res_blocks,
                    space=space,
                    time=time,
                    residual=layout.is_residual,
                    stride=stride,
                    rate=rate,
                )
            )
            stride, rate = stride // (2 if space else 1), rate * (2 if time else 1)
        self.norm_out = Norm(widths[-1])
        outside = 3 * layout.patch**2
        self.conv_out = Causal(builder, widths[-1], outside, stride=stride, rate=rate)
        self.parts = builder.parts

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures (B, ..., T, H, W) of raw latents (B, C, F, h, w), and the memory."""
        stream = Stream(memory, self.parts)
        x = self.mid_block.step(self.conv_in.step(x, stream), stream)
        for block in self.up_blocks:
            x = block.step(x, stream)  # type: ignore[operator]
        x = self.conv_out.step(nn.functional.silu(self.norm_out(x)), stream)
        return x, stream.folded()


class WanAutoencoder(Autoencoder):
    """Wan's autoencoder; its latents are normalised for the transformer."""

    latent_frames = FRAMES
    first_latent_frames = 1
    guided = False
    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.encoder, self.decoder = Encoder(layout), Decoder(layout)
        self.quant_conv = nn.Conv3d(2 * layout.z_dim, 2 * layout.z_dim, 1)
        self.post_quant_conv = nn.Conv3d(layout.z_dim, layout.z_dim, 1)
        self.latent_channels, self.latent_stride = layout.z_dim, self.encoder.stride
        self.encoder_memory = 1 + memory_channels(self.encoder.parts)
        self.decoder_memory = 1 + memory_channels(self.decoder.parts)
        for name, values in (("mean", layout.latents_mean), ("std", layout.latents_std)):
            column = torch.tensor(values).reshape(-1, 1, 1, 1)
            self.register_buffer(f"latents_{name}", column, persistent=False)

    def encode(
        self, cells: Tensor, memory: Tensor, light: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the latent of a chunk and the encoder's memory."""
        pictures = planes(cells, self.layout.patch)
        patches = _swapped(pictures) if self.layout.patch > 1 else pictures
        raw, kept = self.encoder(film_of(patches, len(memory)), memory)
        mean = self.quant_conv(raw).chunk(2, 1)[0].float()
        return join(((mean - self.latents_mean) / self.latents_std).transpose(1, 2)), kept

    def decode(
        self,
        latent: Tensor,
        cells: Tensor | None,
        memory: Tensor,
        noise: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the cells of a latent's frames and the decoder's memory."""
        raw = split(latent).transpose(1, 2) * self.latents_std + self.latents_mean
        film, kept = self.decoder(self.post_quant_conv(raw), memory)
        pictures = pictures_of(film.clamp(-1.0, 1.0))
        patches = _swapped(pictures) if self.layout.patch > 1 else pictures
        return from_planes(patches, self.layout.patch), kept


def _swapped(pictures: Tensor) -> Tensor:
    """Swap the order of rows and columns within a patch; Wan 2.2 puts columns first."""
    patches = torch.unflatten(pictures, 1, (-1, 2, 2))
    return patches.transpose(2, 3).flatten(1, 3)
