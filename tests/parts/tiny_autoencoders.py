"""Autoencoders of Wan's latents at tiny widths, with random weights."""

from dataclasses import replace

import torch

from realmaster_live.model.autoencoders import taehv, wan
from realmaster_live.model.autoencoders.render_head import RenderHead
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.model.vae import StreamingAutoencoder

TINY_16 = {"encoder": 8, "decoder": (16, 8, 8, 8)}
TAEHV = {
    "taew2_1": taehv.Layout(channels=16, patch=1, **TINY_16),
    "taew2_2": taehv.Layout(channels=48, patch=2, **TINY_16),
    "taew2_2_super": taehv.Layout(
        channels=48, patch=2, encoder=8, decoder=(16, 16, 8, 8), super=True
    ),
}
WAN_CONFIGS = {  # of diffusers' AutoencoderKLWan
    "wan2.1": {
        "base_dim": 8,
        "z_dim": 16,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
        "latents_mean": [0.1 * place for place in range(16)],
        "latents_std": [1.0 + 0.1 * place for place in range(16)],
    },
    "wan2.2": {
        "base_dim": 8,
        "decoder_base_dim": 12,
        "z_dim": 48,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "temperal_downsample": [False, True, True],
        "latents_mean": [0.02 * place for place in range(48)],
        "latents_std": [1.0 + 0.02 * place for place in range(48)],
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
        "scale_factor_spatial": 16,
    },
}
NAMES = ("ours", *TAEHV, "headed", *WAN_CONFIGS)
SMALL_WAN = replace(
    WAN_1_3B,
    width=24,
    layers=2,
    heads=2,
    hidden=32,
    text_width=8,
    frequency_width=8,
)


def make(name):
    """Return an autoencoder by its name."""
    torch.manual_seed(5)
    if name in TAEHV:
        made = taehv.Taehv(TAEHV[name])
    elif name == "headed":
        made = taehv.Taehv(TAEHV["taew2_1"], RenderHead(16, 8, half=4, fine=8))
    elif name in WAN_CONFIGS:
        layout = wan.Layout.from_dict(WAN_CONFIGS[name], source="the test")
        made = wan.WanAutoencoder(layout)
    else:
        made = StreamingAutoencoder(replace(TINY, falling=False))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made.eval().requires_grad_(False)


def profile_of(name):
    """Return a small profile that takes an autoencoder's latents."""
    if name == "ours":
        return TINY
    name = "taew2_1" if name == "headed" else name
    kind = "taehv" if name in TAEHV else "wan"
    layout = TAEHV[name].channels if name in TAEHV else WAN_CONFIGS[name]["z_dim"]
    stride = 8 if layout == 16 else 16
    return replace(SMALL_WAN, autoencoder=kind, latent_channels=layout, latent_stride=stride)
