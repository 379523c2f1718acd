"""How the editing pipelines of diffusers are called, by the name of their class there."""

from __future__ import annotations

from typing import Any

from realmaster_live.training.pairs.editors.pipeline_editor import Form


def _flux2(given: list[Any], size: tuple[int, int], guidance: float) -> dict[str, Any]:
    return {"image": given, "guidance_scale": guidance}  # which distilled weights ignore


def _kontext(given: list[Any], size: tuple[int, int], guidance: float) -> dict[str, Any]:
    return {
        "image": given[0],
        "guidance_scale": guidance,
        "max_area": size[0] * size[1],
        "_auto_resize": False,  # its list of sizes would change the picture's shape
    }


def _qwen(given: list[Any], size: tuple[int, int], guidance: float) -> dict[str, Any]:
    return {
        "image": given,
        "negative_prompt": " ",  # without one the guidance is off
        "true_cfg_scale": guidance,
    }


# FLUX.2-klein-4B; its autoencoder takes 8 pixels, its patches 2
FLUX2 = Form(pipeline="Flux2KleinPipeline", multiple=16, most=2, arguments=_flux2)
# FLUX.1-Kontext-dev, which would read a second picture as a second request
KONTEXT = Form(pipeline="FluxKontextPipeline", multiple=16, most=1, arguments=_kontext)
# Qwen-Image-Edit 2509 and 2511, which fit their own input pictures to `multiple`
QWEN = Form(
    pipeline="QwenImageEditPlusPipeline",
    multiple=32,
    most=2,
    arguments=_qwen,
    needs=("torchvision", "qwen"),  # its processor of pictures is built on it
)
