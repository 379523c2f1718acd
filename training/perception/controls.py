"""Controls of a study: what plain colours alone would bring, without an engine.

Legend: H W pixels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.perception.examples import SIM, TRUTH, Example

AUGMENTED, MAPPED = "augmented", "mapped"  # renders: strongly augmented; with the truth's colours
GAIN, GAMMA, SATURATION, HUE_DEG, SHIFT = 0.3, 0.4, 0.6, 25.0, 0.15  # most that is drawn
SAMPLES_PER_FRAME = 4000  # pixels that the colour map is fitted to


def strong_colours(
    pixels: NDArray[np.float32],  # (H, W, 3) RGB in about [0, 1]
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return a picture with random gain and gamma of each channel, saturation, hue and shift."""
    gain = 1.0 + rng.uniform(-GAIN, GAIN, 3)
    gamma = np.exp(rng.uniform(-GAMMA, GAMMA, 3))
    bent = np.clip(pixels, 0.0, 1.0) ** gamma * gain
    hue = np.radians(rng.uniform(-HUE_DEG, HUE_DEG))
    turned = cv2.transform(bent.astype(np.float32), _hue_turn(hue).astype(np.float32))
    grey = np.asarray(turned).mean(-1, keepdims=True)
    saturated = grey + (turned - grey) * (1.0 + rng.uniform(-SATURATION, SATURATION))
    return np.asarray(saturated + rng.uniform(-SHIFT, SHIFT), np.float32)


def _hue_turn(angle: float) -> NDArray[np.float64]:
    """Return the (3, 3) rotation about the grey axis (Rodrigues' formula)."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def with_mapped(examples: Sequence[Example]) -> list[Example]:
    """Return examples with a variant whose renders have the colours of the truth.

    One map for all examples: the polynomial of second degree in R, G, B that is nearest to the
    truth by least squares. It is the most that a change of colours alone can do with such a map.
    """
    draw = np.random.default_rng(0)
    pairs = []
    for example in examples:
        pixels = example.pictures[SIM].shape[0] * example.pictures[SIM].shape[1]
        chosen = draw.choice(pixels, min(SAMPLES_PER_FRAME, pixels), replace=False)
        pairs.append([example.pictures[name].reshape(-1, 3)[chosen] for name in (SIM, TRUTH)])
    sim, truth = (np.concatenate([pair[side] for pair in pairs]) / 255.0 for side in (0, 1))
    coefficients = np.linalg.lstsq(_terms(sim), truth, rcond=None)[0]

    def mapped(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        colours = _terms(picture.reshape(-1, 3) / 255.0) @ coefficients
        return np.asarray((colours.clip(0, 1) * 255 + 0.5).astype(np.uint8).reshape(picture.shape))

    return [each.with_picture(MAPPED, mapped(each.pictures[SIM])) for each in examples]


def _terms(colours: NDArray[np.float64]) -> NDArray[np.float64]:  # (N, 3) -> (N, 10)
    """Return 1, R, G, B, their squares and their products."""
    red, green, blue = colours.T
    return np.stack(
        [
            np.ones(len(colours)), red, green, blue, red**2, green**2, blue**2,
            red * green, green * blue, blue * red,
        ],
        axis=1,
    )  # fmt: skip
