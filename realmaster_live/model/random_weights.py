"""Networks with random weights, created on their device, to time a profile without its files."""

from __future__ import annotations

import torch
from torch import nn

from realmaster_live.model.autoencoders.opening import make_autoencoder
from realmaster_live.model.dit import Block, InContextTransformer
from realmaster_live.model.networks import Networks
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import Profile
from realmaster_live.model.vae import GuidedDecoder

GAIN = 0.5  # a layer's weights have standard deviation GAIN / sqrt(inputs)
LAST_GAIN = 0.1  # gain of the decoder's last layers, so that pictures stay near the render


def random_networks(
    profile: Profile, device: torch.device, *, bf16: bool = False, seed: int = 0
) -> Networks:
    """Return networks with random weights; no layer is zero, so every part affects the output.

    They are built on the meta device first, so there is never a float32 copy of bfloat16 weights.
    """
    with torch.device("meta"):
        autoencoder = make_autoencoder(profile)
        transformers = [InContextTransformer(profile) for _ in range(profile.experts)]
    generator = torch.Generator(device).manual_seed(seed)
    for network in (autoencoder, *transformers):
        network.requires_grad_(False)
        if bf16:
            mix_precision(network)
        network.to_empty(device=device)
        fill(network, generator)
        network.eval()
    for name, values in autoencoder.named_buffers():
        values.fill_(1.0 if name == "latents_std" else 0.0)
    return autoencoder, *transformers


def fill(network: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter a random or neutral value, in place."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
                parameter.fill_(1.0 if name == "weight" else 0.0)
            elif name == "bias":
                parameter.zero_()
            elif name == "weight":
                parameter.normal_(std=GAIN / parameter[0].numel() ** 0.5, generator=generator)
            else:
                parameter.normal_(generator=generator)
                parameter.mul_(LAST_GAIN)
        if isinstance(module, Block):
            module.scale_shift_table[:, (2, 5)] = 0.5  # the gates, as before training
        if isinstance(module, GuidedDecoder):
            for layer in (module.write, module.tone):
                layer.weight.mul_(LAST_GAIN)
            module.write_as_rendered()
