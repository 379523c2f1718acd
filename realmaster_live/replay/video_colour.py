"""Decoded video frames as sRGB, whatever their matrix, range, transfer function and primaries.

SDR video is taken as every player shows it: its matrix and range are applied, and its values are
sRGB values. HDR (PQ and HLG, ITU-R BT.2100) is converted to light, with 203 cd/m2, the reference
white of ITU-R BT.2408, as white, and mapped to sRGB by a curve that leaves everything up to KNEE of
white as it is and compresses what is brighter: white becomes 0.8 of the display's white. BT.2020
and P3 primaries are converted to sRGB's; colours outside of it are clipped.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError

# code points of ITU-T H.273, which FFmpeg uses too
RGB, UNSPECIFIED = 0, 2
BT709 = 1
BT601 = 5  # as SMPTE 170M, which has the same coefficients
MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9}  # to the numbers of libswscale
BT2020 = 9  # primaries, and their matrix
LINEAR, PQ, HLG = 8, 16, 18
SDR = {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15}
HD_ROWS = 720  # a film that names no matrix has BT.709's from that height on, or BT.601's
LIMITED, FULL = 1, 2

WHITE_NITS = 203.0
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
KNEE = 0.6
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
TO_SRGB = {
    9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    11: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
    12: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}
"""Primaries that are wider than sRGB's: linear RGB to sRGB's, of BT.2020 and P3."""


class Colours(NamedTuple):
    """What a film says of its colours: numbers of ITU-T H.273."""

    matrix: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    primaries: int = UNSPECIFIED

    @classmethod
    def of(cls, coded: Any) -> Self:
        """Return what an av.CodecContext says: the container's words, or the decoder's later on."""
        return cls(int(coded.colorspace), int(coded.color_trc), int(coded.color_primaries))

    def filled_up(self, other: Colours) -> Colours:
        """Return these, where they say nothing as another says, and for HDR as BT.2100 has it."""
        stated = Colours(*(b if a == UNSPECIFIED else a for a, b in zip(self, other, strict=True)))
        if stated.transfer not in (PQ, HLG):
            return stated
        usual = Colours(BT2020, stated.transfer, BT2020)
        return Colours(*(b if a == UNSPECIFIED else a for a, b in zip(stated, usual, strict=True)))


def check_colours(colours: Colours) -> None:
    """Raise ValueError, whose text names the encoding, for colours that `to_srgb` cannot show."""
    matrix, transfer, _ = colours
    if transfer not in SDR | {LINEAR, PQ, HLG}:
        raise ValueError(f"the transfer function {transfer} of ITU-T H.273")
    if matrix not in MATRICES and matrix not in (RGB, UNSPECIFIED, 3):
        raise ValueError(f"the colour matrix {matrix} of ITU-T H.273")


def to_srgb(frame: Any, colours: Colours, *, width: int = 0) -> NDArray[np.uint8]:
    """Return a decoded frame as (H, W, 3) sRGB.

    Args:
        frame: an av.VideoFrame.
        colours: of its film.
        width: pixels to scale it to; 0 for its own.
    """
    matrix, transfer, primaries = colours
    deep = transfer in (LINEAR, PQ, HLG) or primaries in TO_SRGB
    unnamed = BT709 if frame.height >= HD_ROWS else BT601
    name = frame.format.name
    full = frame.format.is_rgb or name.startswith(("yuvj", "gray", "ya")) or name == "pal8"
    full = full or frame.color_range == FULL
    rgb = frame.reformat(
        width=width or frame.width,
        format="rgb48le" if deep else "rgb24",
        src_colorspace=MATRICES.get(matrix, unnamed),
        src_color_range=FULL if full else LIMITED,
        dst_color_range=FULL,
    ).to_ndarray()
    picture: NDArray[np.uint8] = _deep_to_srgb(rgb, transfer, primaries) if deep else rgb
    return picture


def _deep_to_srgb(
    rgb: NDArray[np.uint16], transfer: int, primaries: int
) -> NDArray[np.uint8]:  # both (H, W, 3)
    light: NDArray[Any] = _to_light(transfer)[rgb]  # 1 is white
    if transfer == HLG:
        scene = light @ LUMA
        light = light * np.power(scene, HLG_GAMMA - 1)[..., None] * (HLG_PEAK_NITS / WHITE_NITS)
    if primaries in TO_SRGB:
        light = cv2.transform(light, np.array(TO_SRGB[primaries], np.float32))
    light = np.maximum(light, 0)
    if transfer in (PQ, HLG):
        peak = light.max(axis=-1, keepdims=True)  # a colour keeps its hue as it is darkened
        light *= np.where(peak > KNEE, _compressed(peak) / np.maximum(peak, KNEE), 1)
    index = np.minimum(light, 1) * np.float32(65535)
    picture: NDArray[np.uint8] = _from_light()[(index + np.float32(0.5)).astype(np.uint16)]
    return picture


def _compressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return light above KNEE between KNEE and 1."""
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    compressed: NDArray[np.float32] = KNEE + (1 - KNEE) * over / (1 + over)
    return compressed


@cache
def _to_light(transfer: int) -> NDArray[np.float32]:  # (65536,)
    """Return the light of every 16-bit value: of the display, 1 for white; of HLG the scene's."""
    value = np.arange(65536) / 65535
    if transfer == PQ:  # ITU-R BT.2100, table 4
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = value ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 1e4 / WHITE_NITS
    elif transfer == HLG:  # table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    elif transfer == LINEAR:
        light = value
    else:  # SDR values are sRGB's
        light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@cache
def _from_light() -> NDArray[np.uint8]:  # (65536,)
    """Return sRGB's byte of every 16-bit amount of light."""
    light = np.arange(65536) / 65535
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)


def refuse_colours(path: object, problem: ValueError) -> PairError:
    """Return the error of a film whose colours `check_colours` refused."""
    return PairError(
        f"expected a film in SDR, HLG or PQ with a usual colour matrix in {path}, got {problem}: "
        "convert it, for example with ffmpeg and -colorspace bt709"
    )
