"""The layers of Wan's video autoencoder, which keep what they need of the previous chunk.

Legend: B batch, T frames, C channels, H W positions, r frames of a latent at some depth (`rate`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realmaster_live.model.autoencoders.interface import Part, fold, mark, started, unfold


class Stream:
    """The memory of a pass: what each layer kept of the previous chunk, and keeps of this one.

    Attributes:
        on: (B, 1, 1, 1, 1), 0 in a stream's first chunk and 1 in all others.
    """

    def __init__(self, memory: Tensor, parts: list[Part]) -> None:
        self.continues = started(memory)[..., None]
        self._past = unfold(memory[:, 1:], parts)
        self._strides = [stride for _, stride in parts]
        self._kept: list[Tensor | None] = [None] * len(parts)
        self._memory = memory

    def with_past(self, x: Tensor, place: int, frames: int) -> Tensor:  # (B, C, T, H, W)
        """Return x after the frames that were kept at a place, and keep its last frames there."""
        past = torch.unflatten(self._past[place], 1, (-1, frames)).to(x.dtype)
        with_kept = torch.cat((past, x), 2)
        self._kept[place] = with_kept[:, :, -frames:].flatten(1, 2)
        return with_kept

    def zero_if_first(self, x: Tensor, count: int) -> Tensor:
        """Return x, with its first `count` frames set to zero in a stream's first chunk."""
        if count == 0:
            return x
        return torch.cat((x[:, :, :count] * self.continues.to(x.dtype), x[:, :, count:]), 2)

    def replace_if_first(self, x: Tensor, first: Tensor) -> Tensor:
        """Return x, with its first frames replaced by `first` in a stream's first chunk."""
        continues, count = self.continues.to(x.dtype), first.shape[2]
        return torch.cat(
            (x[:, :, :count] * continues + first * (1.0 - continues), x[:, :, count:]), 2
        )

    def folded(self) -> Tensor:
        """Return the memory for the next chunk."""
        maps = [
            (kept.to(self._memory.dtype), stride)
            for kept, stride in zip(self._kept, self._strides, strict=True)
            if kept is not None
        ]
        return torch.cat((mark(self._memory), fold(maps)), 1)


class Builder:
    """Assigns the layers of the encoder or the decoder their places in its memory.

    Attributes:
        parts: channels and stride of the map at each place.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def place(self, channels: int, stride: int) -> int:
        """Return the next place."""
        self.parts.append((channels, stride))
        return len(self.parts) - 1


class Causal(nn.Conv3d):
    """A causal 3 x 3 x 3 convolution over a frame and the two before it."""

    def __init__(
        self, builder: Builder, inside: int, outside: int, *, stride: int, rate: int
    ) -> None:
        super().__init__(inside, outside, 3, padding=(0, 1, 1))
        self.rate, self.place = rate, builder.place(2 * inside, stride)

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the convolved frames."""
        x = stream.zero_if_first(x, self.rate - 1)
        result: Tensor = self(stream.with_past(x, self.place, 2))
        return result


class Norm(nn.Module):
    """Normalises the channels of each position to unit length, and scales them."""

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map; its length is computed in float32."""
        normalised = nn.functional.normalize(x.float(), dim=1).to(x.dtype)
        result: Tensor = normalised * (x.shape[1] ** 0.5) * self.gamma
        return result


class ResidualBlock(nn.Module):
    """Two causal convolutions with a skip connection."""

    def __init__(
        self, builder: Builder, inside: int, outside: int, *, stride: int, rate: int
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(inside), Norm(outside)
        self.conv1 = Causal(builder, inside, outside, stride=stride, rate=rate)
        self.conv2 = Causal(builder, outside, outside, stride=stride, rate=rate)
        same = inside == outside
        self.conv_shortcut = nn.Identity() if same else nn.Conv3d(inside, outside, 1)

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the next map."""
        branch = self.conv1.step(nn.functional.silu(self.norm1(x)), stream)
        branch = self.conv2.step(nn.functional.silu(self.norm2(branch)), stream)
        result: Tensor = branch + self.conv_shortcut(x)
        return result


class Attention(nn.Module):
    """Attention between the positions of one frame, with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next map."""
        frames = pictures_of(x)
        tokens = self.to_qkv(self.norm(frames)).flatten(2).transpose(1, 2)[:, None]
        query, key, value = tokens.chunk(3, 3)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        maps = attended[:, 0].transpose(1, 2).reshape(frames.shape)
        return x + film_of(self.proj(maps), len(x))


class Middle(nn.Module):
    """A residual block, attention, and another residual block."""

    def __init__(self, builder: Builder, channels: int, stride: int) -> None:
        super().__init__()
        size = {"stride": stride, "rate": 1}
        first = ResidualBlock(builder, channels, channels, **size)
        self.attentions = nn.ModuleList([Attention(channels)])
        self.resnets = nn.ModuleList([first, ResidualBlock(builder, channels, channels, **size)])

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the next map."""
        x = self.resnets[0].step(x, stream)  # type: ignore[operator]
        x = self.attentions[0](x)
        return self.resnets[1].step(x, stream)  # type: ignore[operator, no-any-return]


class Downsample(nn.Module):
    """Halves height and width and, with `time`, the number of frames."""

    def __init__(
        self, builder: Builder, channels: int, *, time: bool, stride: int, rate: int
    ) -> None:
        super().__init__()
        self.rate = rate
        self.resample = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2)
        )
        self.time_conv = (
            nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if time else None
        )
        self.place = builder.place(channels, 2 * stride) if time else -1

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the smaller map."""
        x = film_of(self.resample(pictures_of(x)), len(x))
        if self.time_conv is None:
            return x
        halved: Tensor = self.time_conv(stream.with_past(x, self.place, 1))
        return stream.replace_if_first(halved, x[:, :, 1 : self.rate : 2])


class Upsample(nn.Module):
    """Doubles height and width and, with `time`, the number of frames."""

    def __init__(
        self, builder: Builder, inside: int, outside: int, *, time: bool, stride: int, rate: int
    ) -> None:
        super().__init__()
        self.rate = rate
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0),
            nn.Conv2d(inside, outside, 3, padding=1),
        )
        self.time_conv = nn.Conv3d(inside, 2 * inside, (3, 1, 1)) if time else None
        self.place = builder.place(2 * inside, stride) if time else -1

    def step(self, x: Tensor, stream: Stream) -> Tensor:
        """Return the larger map."""
        if self.time_conv is not None:
            with_kept = stream.with_past(stream.zero_if_first(x, self.rate), self.place, 2)
            pairs = torch.unflatten(self.time_conv(with_kept), 1, (2, -1))
            doubled = pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
            x = stream.replace_if_first(doubled, x[:, :, : self.rate].repeat_interleave(2, 2))
        return film_of(self.resample(pictures_of(x)), len(x))


def pictures_of(film: Tensor) -> Tensor:  # (B, C, T, H, W) -> (B * T, C, H, W)
    """Return the pictures of films."""
    return film.transpose(1, 2).flatten(0, 1)


def film_of(pictures: Tensor, batch: int) -> Tensor:  # (B * T, C, H, W) -> (B, C, T, H, W)
    """Return the films of pictures."""
    return torch.unflatten(pictures, 0, (batch, -1)).transpose(1, 2)
