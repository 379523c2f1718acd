"""What VACE is conditioned on: a control clip with anchors in it, and the mask that keeps them.

VACE (Jiang et al., 2025) reads one clip and one mask: where the mask is black the clip's pixels are
kept, where it is white the clip is a control signal and pixels are made. RealMaster propagates two
edited frames along edge maps, so the clip is [first, edge 1 .. edge n-2, last] and the mask
[black, white .. white, black]. Its ablations change the input only: more anchors, or depth.

The network sees the mask at a quarter of the frame rate, and resized to the nearest frame: frames
1, 5, 9 .. 79 of 81. A mask that is black on the first and last frame alone is therefore white
throughout for the network, which knows the anchors by their pixels only. Anchors held for two
frames are black in it too, at the price of a frame that stands still.

Legend: T frames, F latent frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError

TEMPORAL = 4  # frames of a latent frame, after the first
GRID_PX = 16  # sizes are multiples: autoencoder 8, patches 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditions:
    """A clip for VACE.

    Attributes:
        video: (T, H, W, 3) uint8 RGB: pixels to keep, and the control signal elsewhere.
        keep: (T,) bool, the frames whose pixels are kept.
    """

    video: NDArray[np.uint8]
    keep: NDArray[np.bool_]

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return video (1, T, 3, H, W) and mask (1, T, 1, H, W), float32 in [0, 1], white = make.

        As WanVACEPipeline takes them: it moves the video to [-1, 1] itself.
        """
        video = torch.from_numpy(self.video).permute(0, 3, 1, 2)[None].float() / 255
        made = torch.from_numpy(~self.keep).float()
        height, width = self.video.shape[1:3]
        return video, made[None, :, None, None, None].expand(1, -1, 1, height, width)

    def kept_latents(self) -> list[int]:
        """Return the latent frames at which the network sees a black mask."""
        frames = len(self.keep)
        latents = (frames + TEMPORAL - 1) // TEMPORAL
        picked = np.floor((np.arange(latents) + 0.5) * (frames / latents)).astype(int)
        return [int(i) for i in np.flatnonzero(self.keep[picked])]


def build(
    control: NDArray[np.uint8],  # (T, H, W) or (T, H, W, 3): edges black on white, or depth
    anchors: Mapping[int, NDArray[np.uint8]],  # frame -> (H, W, 3) RGB, photoreal
    *,
    hold_frames: int = 1,
    kept: NDArray[np.uint8] | None = None,  # (K, H, W, 3): photoreal frames that begin the clip
) -> Conditions:
    """Return the clip and mask of a control signal, of anchors in it, and of what came before.

    `hold_frames` is how many frames an anchor fills: forward from the first frame, backward from
    the last, in both directions from others. 1 is upstream's own construction.

    Raises:
        PairError: frames are not 4 k + 1, sizes not multiples of 16, or an anchor is of another
            size or outside the clip.
    """
    frames, height, width = control.shape[:3]
    if frames % TEMPORAL != 1 or height % GRID_PX or width % GRID_PX:
        raise PairError(
            f"expected 4 k + 1 frames at multiples of {GRID_PX} pixels, got {frames} frames of "
            f"{width} x {height}: plan the clips again"
        )
    video = np.repeat(control[..., None], 3, axis=3) if control.ndim == 3 else control.copy()
    keep = np.zeros(frames, bool)
    for index, picture in sorted(anchors.items()):
        if not 0 <= index < frames or picture.shape != (height, width, 3):
            raise PairError(
                f"expected anchors of {height} x {width} within {frames} frames, got one of "
                f"{picture.shape} at frame {index}: run the stage anchors again"
            )
        before = 0 if index == 0 else hold_frames - 1
        after = 0 if index == frames - 1 else hold_frames - 1
        held = slice(max(index - before, 0), index + after + 1)
        video[held], keep[held] = picture, True
    if kept is not None:
        video[: len(kept)], keep[: len(kept)] = kept, True
    return Conditions(video=video, keep=keep)


def anchor_frames(frames: int, count: int) -> list[int]:
    """Return the frames that `count` anchors are at: first, last, and evenly between."""
    return [round(i * (frames - 1) / (count - 1)) for i in range(count)]


def windows(frames: int, window: int, overlap: int) -> list[slice]:
    """Return the pieces that a clip is made in: each begins with `overlap` frames of the last.

    All have 4 k + 1 frames, `window` at most, and about the same number.

    Raises:
        ConfigError: window or overlap is not 4 k + 1, or the window is not the longer one.
    """
    if window % TEMPORAL != 1 or overlap % TEMPORAL != 1 or overlap >= window:
        raise ConfigError(
            f"expected window and overlap of 4 k + 1 frames, the window longer, got window "
            f"{window} and overlap {overlap}: write 81 and 9, for example"
        )
    if frames <= window:
        return [slice(0, frames)]
    pieces = -(-(frames - overlap) // (window - overlap))
    step = -(-(frames - overlap) // (pieces * TEMPORAL)) * TEMPORAL
    starts = range(0, frames - overlap, step)
    return [slice(start, min(start + step + overlap, frames)) for start in starts]


def depth_control(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return depth (T, H, W) in metres as VACE draws it: near is white, far is black.

    Inverse depth over one range for the whole clip, between its 1st and 99th percentile.
    """
    nearness = 1 / np.maximum(depth.astype(np.float32), 0.1)
    low, high = np.quantile(nearness, (0.01, 0.99))
    scaled = (nearness - low) / max(float(high - low), 1e-9)
    return np.asarray(np.rint(255 * np.clip(scaled, 0, 1)), np.uint8)
