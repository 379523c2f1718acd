"""Networks and pairs of fake tensors, which have a shape and a dtype but no values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from realmaster_live.errors import ConfigError
from realmaster_live.model.cost import PROMPT_TOKENS
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.training.experts import Experts, Network, transformers_of
from realmaster_live.training.iclora.base import Base
from realmaster_live.training.iclora.batches import Shape
from realmaster_live.training.latents import forget_ropes

SIZES = {16: (832, 480), 48: (1280, 704)}  # Wan's latent channels -> width and height
DEFAULT_SIZE = (320, 192)  # of the embedded model


def usual_size(profile: Profile) -> tuple[int, int]:
    """Return the picture size that a profile is meant for: width and height in pixels."""
    return DEFAULT_SIZE if profile.prompts else SIZES.get(profile.latent_channels, DEFAULT_SIZE)


def latent_shape(profile: Profile, size: tuple[int, int], chunks: int) -> Shape:
    """Return the shape (C, F, h, w) of a clip's latents.

    Raises:
        ConfigError: the sides are not multiples of the token stride.
    """
    width, height = size
    if width % profile.token_stride or height % profile.token_stride:
        raise ConfigError(
            f"expected sides that are multiples of {profile.token_stride} for {profile.name}, got "
            f"{width}x{height}: give another --size"
        )
    frames = chunks * profile.chunk_latents
    stride = profile.latent_stride
    return profile.latent_channels, frames, height // stride, width // stride


def largest_size(profile: Profile, shapes: Sequence[Shape]) -> tuple[int, int]:
    """Return the width and height of the largest pictures among shapes of latents, in pixels."""
    _, _, rows, columns = max(shapes, key=lambda shape: shape[2] * shape[3])
    return columns * profile.latent_stride, rows * profile.latent_stride


@dataclass(frozen=True, slots=True)
class FakePair:
    """A clip's latents, as shapes."""

    prompt: str
    reference: Tensor
    target: Tensor
    text: Tensor | None


class FakePairs:
    """A data set that returns the same fake clip for every index."""

    def __init__(self, profile: Profile, shape: Shape) -> None:
        self.profile, self.shapes, self.weights, self.drives = profile, (shape,), (1.0,), ("",)

    def read(self, index: int) -> FakePair:
        """Return the clip."""
        latents = torch.empty(self.shapes[index])
        prompts = self.profile.prompts
        return FakePair(prompts[0] if prompts else "", latents, latents, empty_text(self.profile))


def empty_text(profile: Profile) -> Tensor | None:
    """Return a fake prompt embedding; None for a model that learns its prompts, or has none."""
    if profile.prompts or not profile.text_width:
        return None
    return torch.empty(PROMPT_TOKENS, profile.text_width)


def shaped_bases(profile: Profile) -> tuple[Base, ...]:
    """Return the models of a profile on the meta device, one for each expert."""
    with torch.device("meta"):
        networks = [InContextTransformer(profile) for _ in range(profile.experts)]
    return tuple(
        Base(
            transformer=network.eval(),
            autoencoder=None,
            expert=None,
            span=(0.0, 1.0),
            name=profile.name,
            licence="",
            sha256="",
            files=(),
            latents_of=frozenset(),
            folder=Path(),
        )
        for network in networks
    )


@contextmanager
def fake_tensors(modules: Sequence[nn.Module | None]) -> Iterator[None]:
    """Replace meta tensors of modules by fake ones; new tensors within the block are fake too.

    Tensors that modules share stay shared.
    """
    known: dict[int, Tensor] = {}
    forget_ropes()  # they are cached by device, and fake ones must not mix with real ones
    with torch.device("cpu"), FakeTensorMode():  # its attention saves what a GPU's would save
        for module in (part for each in modules if each is not None for part in each.modules()):
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        known.setdefault(id(tensor), _fake(tensor))
                        tensors[name] = known[id(tensor)]  # type: ignore[assignment]
        try:
            yield
        finally:
            forget_ropes()


def _fake(tensor: Tensor) -> Tensor:
    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(fake, tensor.requires_grad)
    return fake


def tensors_of(*modules: nn.Module | None) -> list[Tensor]:
    """Return the distinct parameters and buffers of modules."""
    tensors = {
        id(tensor): tensor
        for each in modules
        if each is not None
        for tensor in (*each.parameters(), *each.buffers())
    }
    return list(tensors.values())


def bytes_of(tensors: Sequence[Tensor]) -> int:
    """Return the total bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def always_first_expert(network: Network | None) -> None:
    """Let the first expert run every pass: fake times have no values, and experts are equal."""
    if isinstance(network, Experts):
        setattr(network, "turns", lambda t: [(0, list(range(len(t))))])  # noqa: B010


def parts(network: Network | None) -> list[InContextTransformer]:
    """Return a network's transformers; an empty list without a network."""
    return [] if network is None else transformers_of(network)
