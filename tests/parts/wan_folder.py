"""A Wan pipeline's folder in diffusers' layout, at a tiny size, with random weights."""

import json

import torch
from tiny_autoencoders import WAN_CONFIGS

from realmaster_live.training.rehearsal.folders import TINY

CARD = "---\nlicense: apache-2.0\n---\n# A tiny model\n"


def make_folder(folder, *, latents="wan2.1", experts=1, dtype=torch.float32, shard="10GB", seed=0):
    """Write a pipeline and return its folder."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    channels = WAN_CONFIGS[latents]["z_dim"]
    torch.manual_seed(seed)
    for name in ("transformer", "transformer_2")[:experts]:
        transformer = WanTransformer3DModel(
            **TINY.transformer | {"in_channels": channels, "out_channels": channels}
        )
        transformer.to(dtype).save_pretrained(folder / name, max_shard_size=shard)
    AutoencoderKLWan(**WAN_CONFIGS[latents]).save_pretrained(folder / "vae")
    index = {"_class_name": "WanPipeline", "transformer": ["diffusers", "WanTransformer3DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "README.md").write_text(CARD)
    (folder / "LICENSE.txt").write_text("Apache License, Version 2.0\n")
    return folder
