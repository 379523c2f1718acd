"""FLUX.1-Kontext-dev: diffusers' FluxKontextPipeline. Its weights are not for commercial use."""

from __future__ import annotations

from typing import Any

import torch

from realmaster_live.training.pairs.editors.pictures import from_pil, to_pil, working_size
from realmaster_live.training.pairs.editors.protocol import Editor, Picture
from realmaster_live.training.pairs.pipelines import Weights, load_pipeline

MULTIPLE = 16  # autoencoder 8, patches 2


class KontextEditor:
    """Edits one picture: the pipeline would read a second as a second request."""

    def __init__(self, pipeline: Any, *, steps: int, guidance: float, pixels: int) -> None:
        """Take a loaded pipeline and how it is called."""
        self.pipeline = pipeline
        self.steps, self.guidance, self.pixels = steps, guidance, pixels

    def edit(
        self, image: Picture, prompt: str, seed: int, reference: Picture | None = None
    ) -> Picture:
        """Return the edited picture, in the size of `image`; `reference` is left aside."""
        size = working_size(*image.shape[:2], pixels=self.pixels, multiple=MULTIPLE)
        edited = self.pipeline(
            image=to_pil(image, *size),
            prompt=prompt,
            guidance_scale=self.guidance,
            num_inference_steps=self.steps,
            height=size[0],
            width=size[1],
            max_area=size[0] * size[1],
            _auto_resize=False,  # its list of sizes would change the picture's shape
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return from_pil(edited, *image.shape[:2])


def load(weights: Weights, *, licence: str, steps: int, guidance: float, pixels: int) -> Editor:
    """Return the editor with its networks loaded."""
    pipeline = load_pipeline("FluxKontextPipeline", weights, licence=licence)
    return KontextEditor(pipeline, steps=steps, guidance=guidance, pixels=pixels)
