"""Wan VACE at a size for tests: diffusers' classes, random weights, saved like the hub's."""

from pathlib import Path

import torch
from tiny_umt5 import WIDTH, save_encoder


def save_vace(folder: Path) -> Path:
    """Write a pipeline folder that WanVACEPipeline.from_pretrained loads."""
    import diffusers
    import transformers

    save_encoder(folder)
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )  # fmt: skip
    transformer = diffusers.WanVACETransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16,
        out_channels=16, text_dim=WIDTH, freq_dim=16, ffn_dim=32, num_layers=2,
        rope_max_seq_len=32, vace_layers=[0, 1], vace_in_channels=96,
    )  # fmt: skip
    diffusers.WanVACEPipeline(
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=transformers.UMT5EncoderModel.from_pretrained(folder / "text_encoder"),
        vae=vae,
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder
