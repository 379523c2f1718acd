"""FLUX.2-klein-4B: diffusers' Flux2KleinPipeline."""

from __future__ import annotations

from typing import Any

from realmaster_live.training.pairs.editors.pipeline_editor import Form


def arguments(given: list[Any], size: tuple[int, int], guidance: float) -> dict[str, Any]:
    """Return the call's own arguments; distilled weights take no notice of guidance."""
    return {"image": given, "guidance_scale": guidance}


FORM = Form(
    pipeline="Flux2KleinPipeline",
    multiple=16,  # autoencoder 8, patches 2
    most=2,
    arguments=arguments,
)
