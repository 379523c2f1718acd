"""An editor by one of diffusers' pipelines; what differs between them is a `Form`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from realmaster_live.training.pairs.editors.pictures import from_pil, to_pil, working_size
from realmaster_live.training.pairs.editors.protocol import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a pipeline is called.

    Attributes:
        pipeline: its class in diffusers.
        multiple: what heights and widths are multiples of, pixels.
        most: pictures that it takes: with two, the second is the reference.
        arguments: of its call, from the PIL images, (height, width) and the guidance scale; prompt,
            steps, size and generator are the same for all.
        needs: a module that it requires, and its extra; or nothing.
    """

    pipeline: str
    multiple: int
    most: int
    arguments: Callable[[list[Any], tuple[int, int], float], Mapping[str, Any]]
    needs: tuple[str, str] | None = None


class PipelineEditor:
    """Edits pictures by a loaded pipeline."""

    def __init__(
        self, pipeline: Any, form: Form, *, steps: int, guidance: float, pixels: int
    ) -> None:
        """Take the pipeline and how it is called; it works at about `pixels` pixels."""
        self.pipeline, self.form = pipeline, form
        self.steps, self.guidance, self.pixels = steps, guidance, pixels

    def edit(
        self, image: Picture, prompt: str, seed: int, reference: Picture | None = None
    ) -> Picture:
        """Return the edited picture, in the size of `image`."""
        form, shape = self.form, image.shape[:2]
        size = working_size(*shape, pixels=self.pixels, multiple=form.multiple)
        given = [to_pil(picture, *size) for picture in (image, reference) if picture is not None]
        edited = self.pipeline(
            prompt=prompt,
            num_inference_steps=self.steps,
            height=size[0],
            width=size[1],
            generator=torch.Generator().manual_seed(seed),
            **form.arguments(given[: form.most], size, self.guidance),
        ).images[0]
        return from_pil(edited, *shape)
