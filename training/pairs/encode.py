"""The last stage of a clip: the latents of its render and of its photoreal clip, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.model.text_encoder import TEXT_TOKENS
from realmaster_live.training.pairs import texts
from realmaster_live.training.pairs.encoders import Encoder, identify, load_encoder
from realmaster_live.training.pairs.sources import read_frames
from realmaster_live.training.pairs.stage import Job, Stage, StageSpec, Value, captioned
from realmaster_live.training.pairs.videos import read_video


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """Table [encode].

    Attributes:
        autoencoder: a checkpoint folder of ours, a folder with a Wan autoencoder, or a folder or a
            Hugging Face id of a pipeline that has one in `vae`.
        revision: of an id: a branch, a tag or a commit; "" for the newest.
        text_encoder: a folder with a UMT5 encoder and its tokenizer, or a folder or an id of a
            pipeline that has both; "" where the model has learnt prompts.
        text_tokens: of a caption.
        device: as torch names it; "auto" is cuda where there is one.
        dtype: that a Wan autoencoder computes in; files hold float16.
        tiling: encode large pictures in overlapping tiles, to save GPU memory (Wan).
    """

    autoencoder: str = "Wan-AI/Wan2.1-VACE-1.3B-diffusers"
    revision: str = ""
    text_encoder: str = ""
    text_tokens: int = TEXT_TOKENS
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    tiling: bool = False


class EncodeStage:
    """Writes `reference` and `target`, (C, F, h, w) float16, with what they belong to."""

    def __init__(self, config: EncodeConfig, dataset: Path) -> None:
        self.config, self.dataset = config, dataset

    @cached_property
    def spec(self) -> StageSpec:
        """Return what decides the keys."""
        config = self.config
        identity = identify(config.autoencoder)
        return StageSpec(
            name="encode",
            version=1,
            suffix=".safetensors",
            after=("propagate",),
            parameters={
                "revision": config.revision,
                "dtype": config.dtype,
                "tiling": config.tiling,
                "text_encoder": config.text_encoder,
                "text_tokens": config.text_tokens,
            },
            model=identity.name,
            model_sha256=identity.sha256,
            licence=identity.licence,
        )

    @cached_property
    def encoder(self) -> Encoder:
        """Return the autoencoder, once it is needed."""
        return load_encoder(
            self.config.autoencoder,
            revision=self.config.revision,
            device=self.config.device,
            dtype=self.config.dtype,
            tiling=self.config.tiling,
        )

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Encode both clips, and the caption unless that is there."""
        clip = job.clip
        render, photo = read_frames(clip), read_video(job.inputs["propagate"])
        if render.shape != photo.shape:
            raise PairError(
                f"expected a photoreal clip of {render.shape} for {clip.clip_id}, got "
                f"{photo.shape}: propagate it again"
            )
        text_key = ""
        if self.config.text_encoder:
            text_key = texts.ensure(
                self.dataset,
                captioned(clip),
                encoder=self.config.text_encoder,
                tokens=self.config.text_tokens,
            )
        latents = {"reference": self._latents(render), "target": self._latents(photo)}
        metadata = {
            "clip_id": clip.clip_id,
            "autoencoder": self.spec.model,
            "autoencoder_sha256": self.spec.model_sha256,
            "fps": f"{clip.fps:g}",
            "height": str(clip.height),
            "width": str(clip.width),
            "frames": str(clip.frames),
            "prompt": clip.prompt,
            "text_key": text_key,
        }
        save_file(latents, target, metadata=metadata)
        return {"shape": [*latents["target"].shape], "text_key": text_key}

    def _latents(self, frames: NDArray[np.uint8]) -> Tensor:
        latents = self.encoder.encode(frames)
        if not torch.isfinite(latents).all():
            raise PairError(
                "expected finite latents, got others: encode in float32, or check the autoencoder"
            )
        return latents.to(torch.float16).contiguous()


def make(config: EncodeConfig, dataset: Path) -> Stage:
    """Return the stage; the autoencoder is loaded when the first clip comes."""
    return EncodeStage(config, dataset)
