"""The stage that makes the photoreal clip: by VACE from anchors and edges, or from the truth."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.optional import require
from realmaster_live.system.pictures import read_picture
from realmaster_live.training.pairs import sources, videos
from realmaster_live.training.pairs.pipelines import Weights, load_pipeline
from realmaster_live.training.pairs.stage import Clip, Job, Stage, StageSpec, Value, captioned
from realmaster_live.training.pairs.vace import (
    anchor_frames,
    build,
    depth_control,
    windows,
)

PROMPT = "A real video of a street, filmed by the camera of a driving car, natural light."
"""Of clips without a caption in earlier versions; it stays part of the names of all files."""
# The negative prompt that Wan's own scripts and diffusers' examples use, in its own language.
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，"
    "低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，"
    "毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
SMALL_SHIFT, LARGE_SHIFT = 3.0, 5.0  # flow shift for 480 and 720 lines, as diffusers advises
LARGE_PX = 600  # shorter side, halfway between the two


@dataclass(frozen=True, kw_only=True)
class PropagateConfig(Weights):
    """Table [propagate].

    Attributes:
        method: "vace" propagates anchors; "exact" takes the truth of the source.
        control: what VACE follows: the stage edges, or depth, which is read from the source.
        anchor_hold_frames: frames that an anchor fills; 1 is upstream's construction.
        window: most frames made at once, 4 k + 1. overlap: frames that the next piece goes on
            from, 4 k + 1.
        negative_prompt: what guidance leads away from.
        steps: denoising steps. guidance: classifier-free guidance scale, 1 for none.
        flow_shift: of the scheduler, 0 for 3 at 480 lines and 5 at 720.
        conditioning_scale: how strongly the control acts.
        seed: with the clip's own bytes, of its noise.
        tiling: whether the autoencoder works in tiles, for less memory.
        model: Wan-AI/Wan2.1-VACE-1.3B-diffusers, Wan-AI/Wan2.1-VACE-14B-diffusers, or another that
            WanVACEPipeline loads.
    """

    method: Literal["vace", "exact"] = "vace"
    control: Literal["edges", "depth"] = "edges"
    anchor_hold_frames: int = 1
    window: int = 81
    overlap: int = 9
    negative_prompt: str = NEGATIVE_PROMPT
    steps: int = 30
    guidance: float = 5.0
    flow_shift: float = 0.0
    conditioning_scale: float = 1.0
    seed: int = 0
    tiling: bool = False
    model: str = "Wan-AI/Wan2.1-VACE-1.3B-diffusers"
    licence: str = "Apache-2.0"

    def __post_init__(self) -> None:
        Weights.__post_init__(self)
        windows(1, self.window, self.overlap)
        if self.anchor_hold_frames < 1 or self.steps < 1:
            raise ConfigError(
                "expected anchor_hold_frames and steps of 1 or more in [propagate], got "
                f"{self.anchor_hold_frames} and {self.steps}: raise them"
            )


class ExactStage:
    """Writes the clip that the source's second renderer made."""

    spec = StageSpec(name="propagate", version=1, suffix=".mp4", parameters={"method": "exact"})

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Write the truth."""
        began = time.perf_counter()
        frames = sources.read_truth(job.clip)
        videos.write_video(target, frames, job.clip.fps)
        return {
            "method": "exact",
            "frames": len(frames),
            "seconds": round(time.perf_counter() - began, 3),
        }


class VaceStage:
    """Writes what VACE makes of a clip's anchors along its edges or depth."""

    def __init__(self, config: PropagateConfig) -> None:
        """Take the options; the networks are loaded by the first clip."""
        self.config = config
        self._pipeline: Any = None

    @property
    def spec(self) -> StageSpec:
        """Return what decides the keys."""
        config = self.config
        return StageSpec(
            name="propagate",
            version=1,
            suffix=".mp4",
            after=("anchors", "edges") if config.control == "edges" else ("anchors",),
            parameters={
                "method": "vace",
                "control": config.control,
                "anchor_hold_frames": config.anchor_hold_frames,
                "window": config.window,
                "overlap": config.overlap,
                "prompt": PROMPT,
                "negative_prompt": config.negative_prompt,
                "steps": config.steps,
                "guidance": config.guidance,
                "flow_shift": config.flow_shift,
                "conditioning_scale": config.conditioning_scale,
                "seed": config.seed,
                "tiling": config.tiling,
                "revision": config.revision,
                "dtype": config.dtype,
            },
            model=config.model,
            licence=config.licence,
        )

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Make the clip piece by piece and write it."""
        clip, config = job.clip, self.config
        control = self._control(job)
        anchors = read_anchors(job.inputs["anchors"], clip)
        if self._pipeline is None:
            self._pipeline = load_vace(config)
        began = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        frames, facts = propagate(self._pipeline, control, anchors, clip, config)
        seconds = time.perf_counter() - began
        videos.write_video(target, frames, clip.fps)
        return facts | {
            "method": "vace",
            "frames": len(frames),
            "seconds": round(seconds, 3),
            "steps": config.steps,
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        }

    def _control(self, job: Job) -> NDArray[np.uint8]:
        """Return what VACE follows, (T, H, W)."""
        if self.config.control == "depth":
            return depth_control(sources.read_label(job.clip, "depth"))
        found = videos.read_gray(job.inputs["edges"])
        expected = (job.clip.frames, job.clip.height, job.clip.width)
        if found.shape != expected:
            raise PairError(
                f"expected edges (T, H, W) of {expected}, got {found.shape} in "
                f"{job.inputs['edges']}: run the stage edges again"
            )
        return found


def read_anchors(path: Path, clip: Clip) -> dict[int, NDArray[np.uint8]]:
    """Return a clip's anchors (H, W, 3) RGB by frame, from the picture of them all."""
    try:
        picture = read_picture(path)
    except PairError as error:
        raise PairError(
            f"expected the picture of all anchors in {path}, got none that can be read: run the "
            "stage anchors again"
        ) from error
    shape = picture.shape[:2]
    if shape[0] not in range(2 * clip.height, 10**6, clip.height) or shape[1] != clip.width:
        raise PairError(
            f"expected anchors of {clip.width} x {clip.height} above each other in {path}, got "
            f"{shape}: run the stage anchors again"
        )
    pictures = picture.reshape(-1, clip.height, clip.width, 3)
    return dict(zip(anchor_frames(clip.frames, len(pictures)), pictures, strict=True))


def load_vace(config: PropagateConfig) -> Any:
    """Return WanVACEPipeline, its autoencoder in float32."""
    # the pipeline cleans prompts with it, and reports it missing too late
    require("ftfy", extra="pairs")
    pipeline = load_pipeline("WanVACEPipeline", config, float32="vae")
    if config.tiling:
        pipeline.vae.enable_tiling()
    return pipeline


def propagate(
    pipeline: Any,
    control: NDArray[np.uint8],  # (T, H, W)
    anchors: Mapping[int, NDArray[np.uint8]],  # frame -> (H, W, 3)
    clip: Clip,
    config: PropagateConfig,
) -> tuple[NDArray[np.uint8], dict[str, Value]]:
    """Return the photoreal clip (T, H, W, 3), and facts of its pieces.

    A clip longer than the window is made in pieces: each begins with the last frames of the one
    before, kept, and has the anchors that lie in its new frames.
    """
    schedule(pipeline, config, clip)
    answer = np.zeros((*control.shape, 3), np.uint8)
    pieces = windows(len(control), config.window, config.overlap)
    kept_latents: list[Value] = []
    for number, piece in enumerate(pieces):
        known = config.overlap if number else 0
        conditions = build(
            control[piece],
            {
                i - piece.start: a
                for i, a in anchors.items()
                if piece.start + known <= i < piece.stop
            },
            hold_frames=config.anchor_hold_frames,
            kept=answer[piece][:known] if known else None,
        )
        video, mask = conditions.tensors()
        made = pipeline(
            prompt=captioned(clip),
            negative_prompt=config.negative_prompt,
            video=video,
            mask=mask,
            height=clip.height,
            width=clip.width,
            num_frames=len(conditions.keep),
            num_inference_steps=config.steps,
            guidance_scale=config.guidance,
            conditioning_scale=config.conditioning_scale,
            generator=torch.Generator().manual_seed(noise_seed(config.seed, clip, number)),
            output_type="np",
        ).frames[0]
        answer[piece.start + known : piece.stop] = np.rint(255 * made[known:])
        kept_latents.append([*conditions.kept_latents()])
    return answer, {"pieces": len(pieces), "kept_latents": kept_latents}


def schedule(pipeline: Any, config: PropagateConfig, clip: Clip) -> None:
    """Give the pipeline the scheduler that VACE is sampled with: UniPC, shifted by size."""
    kind = require("diffusers", extra="pairs").UniPCMultistepScheduler
    large = min(clip.height, clip.width) >= LARGE_PX
    shift = config.flow_shift or (LARGE_SHIFT if large else SMALL_SHIFT)
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, flow_shift=shift)


def noise_seed(seed: int, clip: Clip, piece: int) -> int:
    """Return a seed that differs between clips and between pieces."""
    return int(hashlib.sha256(f"{seed}/{clip.sha256}/{piece}".encode()).hexdigest()[:15], 16)


def make(config: PropagateConfig, dataset: Path) -> Stage:
    """Return the stage of the method; `dataset` is not read."""
    return ExactStage() if config.method == "exact" else VaceStage(config)
