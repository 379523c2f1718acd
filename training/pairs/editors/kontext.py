"""FLUX.1-Kontext-dev: diffusers' FluxKontextPipeline. Its weights are not for commercial use."""

from __future__ import annotations

from typing import Any

from realmaster_live.training.pairs.editors.pipeline_editor import Form


def arguments(given: list[Any], size: tuple[int, int], guidance: float) -> dict[str, Any]:
    """Return the call's own arguments."""
    return {
        "image": given[0],
        "guidance_scale": guidance,
        "max_area": size[0] * size[1],
        "_auto_resize": False,  # its list of sizes would change the picture's shape
    }


FORM = Form(
    pipeline="FluxKontextPipeline",
    multiple=16,  # autoencoder 8, patches 2
    most=1,  # it would read a second as a second request
    arguments=arguments,
)
