"""Qwen-Image-Edit 2509 and 2511: diffusers' QwenImageEditPlusPipeline."""

from __future__ import annotations

from typing import Any

from realmaster_live.training.pairs.editors.pipeline_editor import Form


def arguments(given: list[Any], size: tuple[int, int], guidance: float) -> dict[str, Any]:
    """Return the call's own arguments; its guidance is true classifier-free guidance."""
    return {
        "image": given,
        "negative_prompt": " ",  # without one the guidance is off
        "true_cfg_scale": guidance,
    }


FORM = Form(
    pipeline="QwenImageEditPlusPipeline",
    multiple=32,  # the pipeline fits its own input pictures to this: the result lies on them
    most=2,
    arguments=arguments,
    needs=("torchvision", "qwen"),  # its processor of pictures is built on it
)
