"""Editors of films at a size for tests: diffusers' classes with random weights."""

from pathlib import Path
from typing import Any

import torch
from tiny_editors import qwen_parts

from realmaster_live.training.rehearsal.folders import TINY, video_parts

CHAT = "{% for m in messages %}{% for c in m.content %}{{ c.text }}</s>{% endfor %}{% endfor %}"


def save_lucy(folder: Path) -> Path:
    """Write a folder that LucyEditPipeline.from_pretrained loads."""
    import diffusers

    torch.manual_seed(0)
    transformer = diffusers.WanTransformer3DModel(**TINY.transformer | {"in_channels": 32})
    parts = video_parts(TINY)
    diffusers.LucyEditPipeline(transformer=transformer, **parts).save_pretrained(folder)
    return folder


class NoGuard:
    """Passes every prompt and film: the checker's own weights are not for tests."""

    def to(self, device: Any) -> None:
        pass

    def check_text_safety(self, text: str) -> bool:
        return True

    def check_video_safety(self, video: Any) -> Any:
        return video


def make_cosmos() -> Any:
    """Return a Cosmos2_5_TransferPipeline; it needs torchvision."""
    import diffusers

    torch.manual_seed(0)
    text = qwen_parts()
    text["tokenizer"].chat_template = CHAT
    projected = {
        "use_crossattn_projection": True,
        "crossattn_proj_in_channels": 16,  # of the text encoder's one layer
        "encoder_hidden_states_channels": 32,
        "text_embed_dim": 32,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "adaln_lora_dim": 4,
        "mlp_ratio": 2.0,
        "extra_pos_embed_type": None,
        "max_size": (16, 32, 32),
    }
    return diffusers.Cosmos2_5_TransferPipeline(
        text_encoder=text["text_encoder"],
        tokenizer=text["tokenizer"],
        transformer=diffusers.CosmosTransformer3DModel(
            in_channels=17, out_channels=16, num_layers=1, controlnet_block_every_n=1, **projected
        ).eval(),
        vae=diffusers.AutoencoderKLWan(**TINY.autoencoder),
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True
        ),
        controlnet=diffusers.CosmosControlNetModel(
            n_controlnet_blocks=1, in_channels=18, latent_channels=18, model_channels=32,
            **projected,
        ).eval(),
        safety_checker=NoGuard(),
    )  # fmt: skip
