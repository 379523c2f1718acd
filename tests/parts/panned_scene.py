"""A town of boxes that a camera pans over, a second renderer's view of it, and ways to spoil it."""

import json
from pathlib import Path

import cv2
import numpy as np

HEIGHT, WIDTH, FRAMES = 128, 192, 9
STEP = 2  # pixels that the camera pans a frame
MATRIX = np.array([[0.6, 0.3, 0.1], [0.1, 0.7, 0.1], [0.0, 0.2, 0.5]], np.float32)


def scene(seed: int, *, frames: int = FRAMES, noise: float = 0.0) -> np.ndarray:
    """Return (T, H, W, 3) of boxes with windows under a sky; noise is new in every frame."""
    rng = np.random.default_rng(seed)
    wide = WIDTH + STEP * frames
    picture = np.linspace((150, 180, 230), (90, 90, 95), HEIGHT)[:, None].repeat(wide, 1)
    for _ in range(14):
        left, top = int(rng.integers(-20, wide - 10)), int(rng.integers(20, HEIGHT - 20))
        right, low = left + int(rng.integers(20, 60)), top + int(rng.integers(15, 50))
        colour = rng.integers(30, 230, 3).tolist()
        cv2.rectangle(picture, (left, top), (right, low), colour, -1)
        cv2.rectangle(picture, (left + 5, top + 5), (left + 11, top + 11), (40, 45, 60), -1)
    texture = cv2.GaussianBlur(rng.normal(0, 14, (HEIGHT, wide, 3)), (0, 0), 1.0)
    clip = np.stack([(picture + texture)[:, STEP * t : STEP * t + WIDTH] for t in range(frames)])
    clip += rng.normal(0, noise, clip.shape)
    return clip.round().clip(0, 255).astype(np.uint8)


def photoreal(source: np.ndarray) -> np.ndarray:
    """Return a clip in other colours, another contrast, and a little softer."""
    graded = 255 * ((source.astype(np.float32) @ MATRIX) / 255) ** 1.2
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.6) for frame in graded])
    return soft.round().clip(0, 255).astype(np.uint8)


def spoil(made: np.ndarray, how: str) -> np.ndarray:
    """Return a clip with one fault."""
    spoilt = made.copy()
    match how:
        case "shifted":
            spoilt = np.roll(made, 6, axis=2)
        case "swapped":
            spoilt = photoreal(scene(77, frames=len(made)))
        case "frozen":
            spoilt[len(made) // 2 :] = made[len(made) // 2]
        case "blurred":
            spoilt = np.stack([cv2.GaussianBlur(frame, (0, 0), 3.0) for frame in made])
        case "flickering":
            gains = np.where(np.arange(len(made)) % 2, 1.1, 0.9)
            spoilt = (made * gains[:, None, None, None]).clip(0, 255).astype(np.uint8)
        case "fading":
            gains = np.linspace(1.0, 0.5, len(made))
            spoilt = (made * gains[:, None, None, None]).astype(np.uint8)
        case "black":
            spoilt[3] = 0
        case "torn":
            spoilt[5] = photoreal(scene(77, frames=len(made)))[5]
    return spoilt


def write_scene(folder: Path, seed: int, *, fault: str = "", noise: float = 0.0) -> Path:
    """A pair of render and truth, as the embedded town's renderer leaves them."""
    folder.mkdir(exist_ok=True)
    path = folder / f"town{seed:04d}-0.json"
    source = scene(seed, noise=noise)
    np.save(path.with_suffix(".sim.npy"), source)
    np.save(path.with_suffix(".truth.npy"), spoil(photoreal(source), fault))
    path.write_text(json.dumps({"seed": seed, "number": 0, "dt": 0.05, "weather": {}}))
    return path
