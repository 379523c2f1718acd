"""TAEHV, the tiny autoencoder of Wan's latents: taew2_1, taew2_2 and taew2_2_super.

Layout and tensor names are those of the public files of madebyollin/taehv (MIT); widths are read
from the tensors. Latents need no normalisation for the transformer.

A memory block sees its input and the input of one step earlier. The encoder pools four frames to a
latent, of which the last three come after the frame that the latent decodes to. So at the end of a
chunk, as at the end of a video, the last frame is repeated three times, and its group is pooled
again once the true frames are there. The decoder makes four frames of each latent. The first
latent's first three are cut off, so 1 + 4 (F - 1) frames remain.

Legend: B batch, T frames, F latent frames, C channels, h w positions, N pictures = B * steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import (
    Autoencoder,
    Part,
    fold,
    from_planes,
    join,
    mark,
    memory_channels,
    planes,
    split,
    started,
    unfold,
)
from realmaster_live.model.autoencoders.render_head import RenderHead

FRAMES = 4  # frames of a latent
STAGES = 3  # each halves height and width; with the patch they make up the latent's stride
POOLS = (2, 2, 1)  # factor by which each of the encoder's stages pools time steps
GROWS = (1, 2, 2)  # factor by which each of the decoder's stages multiplies time steps
BLOCKS = 3  # memory blocks of a stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The sizes in which the public files differ.

    Attributes:
        channels: latent channels. patch: pixels along one side of an input position.
        encoder: channels of the encoder.
        decoder: channels of the decoder's stages and of its last layers.
        super: whether the decoder is the larger one.
    """

    channels: int
    patch: int
    encoder: int = 64
    decoder: tuple[int, int, int, int] = (256, 128, 64, 64)
    super: bool = False


class MemoryBlock(nn.Module):
    """Three convolutions over a map and the same map one step earlier, with a skip connection."""

    def __init__(self, channels: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * channels, outside, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, padding=1),
        )
        same = channels == outside
        self.skip = nn.Identity() if same else nn.Conv2d(channels, outside, 1, bias=False)

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """Return the next map."""
        return torch.relu(self.conv(torch.cat((x, past), 1)) + self.skip(x))


class SuperMemoryBlock(nn.Module):
    """The larger decoder's block: a large depthwise convolution, then two pointwise ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        both = 2 * channels
        self.conv = nn.Sequential(
            nn.Conv2d(both, both, 7, padding=3, groups=both, bias=False),
            nn.Conv2d(both, 2 * both, 1),
            nn.ReLU(),
            nn.Conv2d(2 * both, channels, 1, bias=False),
        )

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """Return the next map."""
        branch: Tensor = self.conv(torch.cat((x, past), 1))
        return branch + x


class Pool(nn.Module):
    """Combines `factor` time steps into one."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(factor * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return N / factor maps."""
        return self.conv(torch.unflatten(x, 0, (-1, self.factor)).flatten(1, 2))  # type: ignore[no-any-return]


class Grow(nn.Module):
    """Expands one time step into `factor` steps."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(channels, factor * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return N * factor maps."""
        return torch.unflatten(self.conv(x), 1, (self.factor, -1)).flatten(0, 1)


class Bound(nn.Module):
    """Keeps latents within the range that the decoder was trained on."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the bounded latents."""
        return 3.0 * torch.tanh(x / 3.0)


class Encoder(nn.ModuleList):
    """Encodes pictures to latents, with all memories in one tensor.

    The memory holds the mark of a stream's start, the last frame, whose group is not complete yet,
    and each memory block's last input before that group.
    """

    def __init__(self, layout: Layout) -> None:
        width, patch = layout.encoder, layout.patch
        layers: list[nn.Module] = [nn.Conv2d(3 * patch**2, width, 3, padding=1), nn.ReLU()]
        for factor in POOLS:
            layers += [
                Pool(width, factor),
                nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
                *(MemoryBlock(width, width) for _ in range(BLOCKS)),
            ]
        super().__init__([*layers, nn.Conv2d(width, layout.channels, 3, padding=1)])
        self.frame = (3 * patch**2, patch)
        self.kept: list[Part] = [
            (width, patch * 2 ** (stage + 1)) for stage in range(STAGES) for _ in range(BLOCKS)
        ]
        self.memory = 1 + memory_channels([self.frame, *self.kept])

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents (B, F, C, h, w) of pictures (B * T, ...) in [0, 1], and the memory."""
        batch, continues = len(memory), started(memory)
        waiting_frame, *pasts = unfold(memory[:, 1:], [self.frame, *self.kept])
        frames = torch.unflatten(x, 0, (batch, -1))
        last = frames[:, -1:]
        # the waiting frame completes the first group; copies of the last frame fill the last one
        x = torch.cat((waiting_frame[:, None], frames, *[last] * (FRAMES - 1)), 1).flatten(0, 1)
        group_steps, kept, place = FRAMES, [], iter(pasts)
        for layer in self:
            if isinstance(layer, Pool):
                group_steps //= layer.factor
            if not isinstance(layer, MemoryBlock):
                x = layer(x)
                continue
            steps = torch.unflatten(x, 0, (batch, -1))
            # at a stream's start no frame is waiting, so the next group has no past
            waiting = steps[:, group_steps - 1 : group_steps] * continues[:, None].to(x.dtype)
            before = [steps[:, : group_steps - 1]] if group_steps > 1 else []
            steps = torch.cat((*before, waiting, steps[:, group_steps:]), 1)
            past = torch.cat((next(place)[:, None].to(x.dtype), steps[:, :-1]), 1).flatten(0, 1)
            kept.append(steps[:, -1 - group_steps])
            x = layer(x, past)
        latents = torch.unflatten(x, 0, (batch, -1))[:, 1:]
        strides = (stride for _, stride in (self.frame, *self.kept))
        maps = [(y.to(memory.dtype), s) for y, s in zip((last[:, 0], *kept), strides, strict=True)]
        return latents, torch.cat((mark(memory), fold(maps)), 1)


class Decoder(nn.ModuleList):
    """Decodes latents to pictures, with all memories in one tensor."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(_super_layers(layout) if layout.super else _layers(layout))
        blocks = (each for each in layout.decoder[:STAGES] for _ in range(BLOCKS))
        bottom = layout.patch * 2**STAGES
        self.kept: list[Part] = [
            (width, bottom >> place // BLOCKS) for place, width in enumerate(blocks)
        ]
        self.memory = memory_channels(self.kept)

    def forward(self, latents: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures (B * T, ...) in [0, 1] of latents (B, F, C, h, w), and the memory."""
        batch, place, kept = len(memory), iter(unfold(memory, self.kept)), []
        x = latents.flatten(0, 1)
        for layer in self:
            if not isinstance(layer, MemoryBlock | SuperMemoryBlock):
                x = layer(x)
                continue
            steps = torch.unflatten(x, 0, (batch, -1))
            past = torch.cat((next(place)[:, None].to(x.dtype), steps[:, :-1]), 1).flatten(0, 1)
            kept.append(steps[:, -1])
            x = layer(x, past)
        strides = (stride for _, stride in self.kept)
        maps = [(y.to(memory.dtype), s) for y, s in zip(kept, strides, strict=True)]
        return x, fold(maps)


class Taehv(Autoencoder):
    """The tiny autoencoder; `encoder` and `decoder` have the tensor names of the public files.

    A `head`, if any, corrects the decoded pictures by the render.
    """

    latent_frames = FRAMES
    first_latent_frames = 1

    def __init__(self, layout: Layout, head: RenderHead | None = None) -> None:
        super().__init__()
        self.layout, self.head = layout, head
        self.guided = head is not None
        self.latent_channels = layout.channels
        self.latent_stride = layout.patch * 2**STAGES
        self.encoder, self.decoder = Encoder(layout), Decoder(layout)
        self.encoder_memory, self.decoder_memory = self.encoder.memory, self.decoder.memory

    def encode(
        self, cells: Tensor, memory: Tensor, light: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the latent of a chunk and the encoder's memory."""
        pictures = planes(cells, self.layout.patch) * 0.5 + 0.5
        latents, kept = self.encoder(pictures, memory)
        return join(latents), kept

    def decode(
        self,
        latent: Tensor,
        cells: Tensor | None,
        memory: Tensor,
        noise: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the cells of a latent's frames and the decoder's memory."""
        latents = split(latent)
        pictures, kept = self.decoder(latents, memory)
        decoded = from_planes(pictures.clamp(0.0, 1.0) * 2.0 - 1.0, self.layout.patch)
        if self.head is None or cells is None:
            return decoded, kept
        each = latents.flatten(0, 1).repeat_interleave(FRAMES, 0)
        return self.head(decoded, cells, each), kept


def layout_of(tensors: Mapping[str, Tensor], *, source: str) -> Layout:
    """Return the layout of a file's tensors; raise BuildError for files of other networks."""
    try:
        larger = "decoder.1.conv.0.weight" in tensors
        places = (0, 7, 14, 21) if larger else (1, 8, 14, 20)
        stages = [f"decoder.{place}." for place in places]
        last, first = tensors["encoder.17.weight"], tensors["encoder.0.weight"]
        widths = [
            tensors[f"{name}conv.weight"].shape[1]
            if larger and place
            else tensors[f"{name}weight"].shape[0]
            for place, name in enumerate(stages)
        ]
        patch = {3: 1, 12: 2}[first.shape[1]]
    except (KeyError, IndexError) as error:
        raise BuildError(
            f"expected the tensors of a tiny autoencoder of Wan's latents in {source}, got a file "
            f"without {error}: give taew2_1, taew2_2 or taew2_2_super of madebyollin/taehv"
        ) from error
    return Layout(
        channels=last.shape[0],
        patch=patch,
        encoder=first.shape[0],
        decoder=(widths[0], widths[1], widths[2], widths[3]),
        super=larger,
    )


def newest_steps(network: Taehv, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's tensors, with only those rows of `Grow` layers that make the last steps.

    Some files make more time steps than Wan's latents need.
    """
    wanted = {f"decoder.{place}.conv.weight" for place in _grows(network.decoder)}
    sizes = network.state_dict()
    return {
        name: tensor[-len(sizes[name]) :] if name in wanted else tensor
        for name, tensor in tensors.items()
    }


def _grows(decoder: nn.Module) -> Iterator[int]:
    return (place for place, layer in enumerate(decoder.children()) if isinstance(layer, Grow))


def _layers(layout: Layout) -> list[nn.Module]:
    """Return the decoder's layers."""
    layers = [Bound(), nn.Conv2d(layout.channels, layout.decoder[0], 3, padding=1), nn.ReLU()]
    for stage, factor in enumerate(GROWS):
        width, after = layout.decoder[stage : stage + 2]
        layers += [
            *(MemoryBlock(width, width) for _ in range(BLOCKS)),
            nn.Upsample(scale_factor=2),
            Grow(width, factor),
            nn.Conv2d(width, after, 3, padding=1, bias=False),
        ]
    return [*layers, nn.ReLU(), nn.Conv2d(layout.decoder[3], 3 * layout.patch**2, 3, padding=1)]


def _super_layers(layout: Layout) -> list[nn.Module]:
    """Return the larger decoder's layers."""
    layers: list[nn.Module] = [nn.Conv2d(layout.channels, layout.decoder[0], 1, bias=False)]
    for stage, factor in enumerate(GROWS):
        width, after = layout.decoder[stage : stage + 2]
        layers += [
            *(SuperMemoryBlock(width) for _ in range(BLOCKS)),
            nn.Conv2d(width, 4 * after, 3, padding=1),
            nn.ReLU(),
            nn.PixelShuffle(2),
            Grow(after, factor),
        ]
    return [*layers, nn.Conv2d(layout.decoder[3], 3 * layout.patch**2, 3, padding=1)]
