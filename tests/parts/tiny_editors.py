"""Image editors at a size for tests: diffusers' classes, random weights, saved like the hub's."""

from pathlib import Path
from typing import Any

import torch

from realmaster_live.training.rehearsal.folders import word_tokenizer, write_editor

MARKS = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
MARKS += ["<|image_pad|>", "<|video_pad|>"]
WORDS = [*MARKS, "system", "user", "assistant", "photograph", "rain"]


def make_tokenizer() -> Any:
    """Return a tokenizer of whole words, and of the marks that Qwen's models know."""
    return word_tokenizer(WORDS, additional_special_tokens=MARKS, model_max_length=512)


def make_scheduler() -> Any:
    import diffusers

    return diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)


def save_klein(folder: Path) -> Path:
    """Write a folder that Flux2KleinPipeline.from_pretrained loads."""
    torch.manual_seed(0)
    write_editor(folder)
    return folder


def save_kontext(folder: Path) -> Path:
    """Write a folder that FluxKontextPipeline.from_pretrained loads."""
    import diffusers
    import transformers

    torch.manual_seed(0)
    clip_tokenizer, tokenizer = make_tokenizer(), make_tokenizer()
    clip_tokenizer.model_max_length = 32
    clip = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, projection_dim=8,
        pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )  # fmt: skip
    t5 = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )
    diffusers.FluxKontextPipeline(
        scheduler=make_scheduler(),
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 4, 4),
            latent_channels=4,
            norm_num_groups=2,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1,
            scaling_factor=0.4,
        ),
        text_encoder=transformers.CLIPTextModel(clip),
        tokenizer=clip_tokenizer,
        text_encoder_2=transformers.T5EncoderModel(t5),
        tokenizer_2=tokenizer,
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=8,
            pooled_projection_dim=8,
            axes_dims_rope=(4, 2, 2),
            guidance_embeds=True,
        ),
    ).save_pretrained(folder)
    return folder


def qwen_parts() -> dict[str, Any]:
    """Return the networks of a QwenImageEditPlusPipeline, and its tokenizer."""
    import diffusers
    import transformers

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    start, image, video = tokenizer.convert_tokens_to_ids([MARKS[2], *MARKS[4:]])
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            "rope_theta": 1e6, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0,
        },
        vision_config={
            "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
            "out_hidden_size": 16, "fullatt_block_indexes": [0],
        },
        image_token_id=image, video_token_id=video,
        vision_start_token_id=start, vision_end_token_id=start + 1,
    )  # fmt: skip
    return {
        "scheduler": make_scheduler(),
        "vae": diffusers.AutoencoderKLQwenImage(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        "text_encoder": transformers.Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": tokenizer,
        "transformer": diffusers.QwenImageTransformer2DModel(
            in_channels=16, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=(4, 2, 2),
        ),
    }  # fmt: skip


def save_qwen(folder: Path) -> Path:
    """Write a folder that QwenImageEditPlusPipeline.from_pretrained loads; needs torchvision."""
    import diffusers
    import transformers

    parts = qwen_parts()
    sizes = {"min_pixels": 56 * 56, "max_pixels": 56 * 56}
    processor = transformers.Qwen2VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**sizes),
        tokenizer=parts["tokenizer"],
        video_processor=transformers.Qwen2VLVideoProcessor(**sizes),
    )
    diffusers.QwenImageEditPlusPipeline(processor=processor, **parts).save_pretrained(folder)
    return folder


class PictureProcessor:
    """Does what Qwen2VLProcessor does with texts and pictures, which itself needs torchvision."""

    def __init__(self, tokenizer: Any) -> None:
        import transformers

        self.tokenizer = tokenizer
        self.pictures = transformers.Qwen2VLImageProcessorPil(
            min_pixels=56 * 56, max_pixels=56 * 56
        )

    def __call__(self, *, text: list, images: list, padding: bool, return_tensors: str) -> Any:
        import transformers

        seen = self.pictures(images=images, return_tensors=return_tensors)
        texts = []
        for one in text:
            parts = one.split("<|image_pad|>")
            counts = [int(grid.prod()) // 4 for grid in seen["image_grid_thw"]]
            pads = ["<|image_pad|>" * count for count in counts] + [""]
            texts.append("".join(a + b for a, b in zip(parts, pads, strict=True)))
        tokens = self.tokenizer(texts, padding=padding, return_tensors=return_tensors)
        return transformers.BatchFeature({**tokens, **seen})
