"""Model folders with random weights in diffusers' layout, in place of those a user downloads.

They are a video model with its autoencoder and text encoder, VACE over the same parts, an image
editor, and TAEHV's file. The scale `full` has the true shapes of Wan2.1's 1.3B transformer, of its
VACE and of its autoencoder; its text encoder has the true width and two of the 24 layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from realmaster_live.model.autoencoders.taehv import Layout, Taehv
from realmaster_live.model.checkpoint import write_tensors
from realmaster_live.optional import require
from realmaster_live.prompts import AS_SIMULATED, PRESETS

WAN, VACE, EDITOR, TAEHV = "WAN", "VACE", "EDITOR", "taew2_1.safetensors"
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of the networks, as arguments of diffusers' and transformers' own classes.

    Attributes:
        transformer: arguments of WanTransformer3DModel.
        vace: additional arguments of WanVACETransformer3DModel.
        autoencoder: arguments of AutoencoderKLWan. text: arguments of UMT5Config.
        dtype: the dtype of the files.
    """

    transformer: Mapping[str, Any]
    vace: Mapping[str, Any]
    autoencoder: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any]
    dtype: torch.dtype = torch.float32


TINY = Scale(
    transformer={
        "patch_size": (1, 2, 2),
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": 16,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "rope_max_seq_len": 32,
    },
    vace={"vace_layers": [0, 1], "vace_in_channels": 96},
    autoencoder={
        "base_dim": 4,
        "z_dim": 16,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    },
    text={"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
)
FULL = Scale(
    transformer={
        "patch_size": (1, 2, 2),
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": 4096,
        "freq_dim": 256,
        "ffn_dim": 8960,
        "num_layers": 30,
    },
    vace={"vace_layers": list(range(0, 30, 2)), "vace_in_channels": 96},
    text={"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 2, "num_heads": 64},
    dtype=torch.bfloat16,
)
SCALES = {"tiny": TINY, "full": FULL}


def write_folders(folder: Path, scale: Scale, seed: int = 0) -> None:
    """Write every model into a folder, under the names above."""
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(scale.dtype)
    try:
        parts = video_parts(scale)
        write_wan(folder / WAN, scale, parts)
        write_vace(folder / VACE, scale, parts)
    finally:
        torch.set_default_dtype(before)
    write_editor(folder / EDITOR)
    write_tensors(folder / TAEHV, Taehv(Layout(channels=16, patch=1)).state_dict())


def _libraries() -> tuple[Any, Any]:
    """Return diffusers and transformers."""
    return require("diffusers", extra="pairs"), require("transformers", extra="pairs")


def video_parts(scale: Scale) -> dict[str, Any]:
    """Return what the video model and VACE share: all but their transformers."""
    diffusers, transformers = _libraries()
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    tokenizer, encoder = text_parts(scale, _words())
    return {
        "tokenizer": tokenizer,
        "text_encoder": encoder,
        "vae": diffusers.AutoencoderKLWan(**scale.autoencoder),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }


def text_parts(scale: Scale, words: list[str]) -> tuple[Any, Any]:
    """Return a tokenizer of some words and a text encoder, as a Wan pipeline has them."""
    _, transformers = _libraries()
    tokenizer = word_tokenizer(words)
    config = transformers.UMT5Config(vocab_size=len(tokenizer), **scale.text)
    return tokenizer, transformers.UMT5EncoderModel(config)


def write_wan(folder: Path, scale: Scale, parts: Mapping[str, Any]) -> None:
    """Write the video model."""
    diffusers, _ = _libraries()
    transformer = diffusers.WanTransformer3DModel(**scale.transformer)
    diffusers.WanPipeline(transformer=transformer, **parts).save_pretrained(folder)


def write_vace(folder: Path, scale: Scale, parts: Mapping[str, Any]) -> None:
    """Write VACE over the video model's parts."""
    diffusers, _ = _libraries()
    transformer = diffusers.WanVACETransformer3DModel(**scale.transformer, **scale.vace)
    diffusers.WanVACEPipeline(transformer=transformer, **parts).save_pretrained(folder)


def write_editor(folder: Path) -> None:
    """Write an image editor, FLUX.2 klein at its smallest."""
    diffusers, transformers = _libraries()
    chat = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    tokenizer = word_tokenizer(_words(), chat_template=chat, model_max_length=512)
    qwen = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=28,  # the pipeline reads the output of the 27th
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=4,
    )
    diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=diffusers.AutoencoderKLFlux2(
            block_out_channels=(4, 4, 4, 4),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=2,
            sample_size=32,
        ),
        text_encoder=transformers.Qwen3ForCausalLM(qwen),
        tokenizer=tokenizer,
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=24,
            timestep_guidance_channels=8,
            axes_dims_rope=(2, 2, 2, 2),
            guidance_embeds=False,
        ),
        is_distilled=True,
    ).save_pretrained(folder)


def word_tokenizer(words: list[str], **options: Any) -> Any:
    """Return a tokenizer that splits at spaces and ends every text with `</s>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    _, transformers = _libraries()

    known = [PAD, END, UNKNOWN, *words]
    numbers = {word: number for number, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        f"$A {END}", special_tokens=[(END, numbers[END])]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        **options,
    )


def _words() -> list[str]:
    """Return the words of the prompts that are shipped."""
    texts = " ".join([AS_SIMULATED, *PRESETS, *PRESETS.values()])
    return sorted({word.strip(".,:;").lower() for word in texts.split()} - {""})
