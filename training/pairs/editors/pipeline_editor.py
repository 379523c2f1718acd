"""An editor by one of diffusers' pipelines; what differs between them is a `Form`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from realmaster_live.optional import require
from realmaster_live.training.pairs.editors.protocol import Picture


def working_size(height: int, width: int, *, pixels: int, multiple: int) -> tuple[int, int]:
    """Return (height, width) of about `pixels` pixels, multiples of `multiple`, same shape."""
    scale = (pixels / (height * width)) ** 0.5
    fit = (max(round(side * scale / multiple), 1) * multiple for side in (height, width))
    return next(fit), next(fit)


def to_pil(picture: Picture, height: int, width: int) -> Any:
    """Return a PIL image in the editor's size."""
    image = require("PIL.Image", extra="pairs")
    return image.fromarray(np.ascontiguousarray(resized(picture, height, width)))


def from_pil(image: Any, height: int, width: int) -> Picture:
    """Return a PIL image as a picture in the clip's size."""
    return resized(np.asarray(image.convert("RGB")), height, width)


def resized(picture: Picture, height: int, width: int) -> Picture:
    """Return the picture in another size: area means down, cubic up."""
    if picture.shape[:2] == (height, width):
        return picture
    smaller = height * width < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)


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
