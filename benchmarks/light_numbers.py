"""What the simulator's numbers of light would bring: python benchmarks/light_numbers.py PAIRS.

Realizes clips of a folder of pairs as simulated, of towns that the engine was not trained on.
Prints PSNR as it is, with each picture's mean colour made the truth's, and with the light coarser
than 64 and 16 pixels made the truth's: what there is to gain. Then how much of the error in the
mean colour could be predicted: by ridge regression from sun, clouds and wetness, from the render's
own mean colour, and from both, as the share of variance in towns that were left out (R squared,
cross-validated by town).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.load import load_engine
from realmaster_live.training.data import AS_SIMULATED, Clip, clip_files, read_clip
from realmaster_live.training.evaluate.metrics import psnr
from realmaster_live.training.evaluate.pictures import realize_frames

Floats = NDArray[np.float64]
RIDGES = (1.0, 5.0, 20.0, 80.0)
SIZES = (64, 16)  # pixels


def light_of(clip: Clip) -> list[float]:
    """Return the sun's direction in the camera's axes, clouds, wetness and puddles of a clip."""
    weather = clip.facts["weather"]
    turned = weather["sun_azimuth_angle"] - clip.facts["camera_yaw_deg"][-1]
    azimuth, altitude = np.radians(turned), np.radians(weather["sun_altitude_angle"])
    flat = np.cos(altitude)
    return [
        np.sin(altitude),
        flat * np.cos(azimuth),
        flat * np.sin(azimuth),
        *(weather[name] / 100.0 for name in ("cloudiness", "wetness", "precipitation_deposits")),
    ]


def coarse(error: NDArray[np.float32], size: int) -> NDArray[np.float32]:  # (H, W, 3)
    """Return the part of a picture that is coarser than `size` pixels."""
    height, width = error.shape[:2]
    small = (max(1, width // size), max(1, height // size))
    means = cv2.resize(error, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(means, (width, height), interpolation=cv2.INTER_LINEAR))


def predicted(inputs: Floats, wanted: Floats, towns: NDArray[np.int64], ridge: float) -> float:
    """Return the share of variance that a linear map explains in towns that it has not seen."""
    spread = inputs.std(0) + 1e-6
    design = np.c_[(inputs - inputs.mean(0)) / spread, np.ones(len(inputs))]
    guessed = np.empty_like(wanted)
    for town in np.unique(towns):
        seen = towns != town
        known = design[seen]
        normal = known.T @ known + ridge * np.eye(design.shape[1])
        guessed[~seen] = design[~seen] @ np.linalg.solve(normal, known.T @ wanted[seen])
    left, all_of_it = ((wanted - x) ** 2 for x in (guessed, wanted.mean(0)))
    return float(1.0 - left.sum() / all_of_it.sum())


def main() -> None:
    """Realize, correct, regress, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--engine", default="embedded")
    args = parser.parse_args()
    clips = [clip for clip in map(read_clip, clip_files(args.pairs)) if clip.prompt == AS_SIMULATED]
    scores, errors, renders = [], [], []
    engines = {}
    for clip in clips:
        height, width = clip.size
        if clip.size not in engines:
            engines[clip.size] = load_engine(args.engine, width=width, height=height)
        made = realize_frames(engines[clip.size], clip.sim)
        last = len(made) - 1
        got, truth = made[last].astype(np.float32), clip.truth[last]
        error = truth.astype(np.float32) - got
        changes = [np.float32(0.0), error.mean((0, 1)), *(coarse(error, size) for size in SIZES)]
        mended = [(got + change).clip(0, 255).round().astype(np.uint8) for change in changes]
        pictures = [clip.sim[last], *mended]
        scores.append([psnr(picture[None], truth[None])[0] for picture in pictures])
        errors.append(error.mean((0, 1)))
        renders.append(clip.sim[last].mean((0, 1)) / 128.0)
    names = ["render", "realized", "mean colour", *(f"coarser than {size}" for size in SIZES)]
    towns = np.array([clip.seed for clip in clips])
    print(f"{len(clips)} clips of {len(set(towns))} towns; PSNR, dB:")
    for name, value in zip(names, np.mean(scores, 0), strict=True):
        print(f"  {name:18} {value:6.2f}")
    wanted, render = np.asarray(errors, np.float64), np.asarray(renders, np.float64)
    light = np.array([light_of(clip) for clip in clips])
    print("variance of the mean colour's error that is explained in other towns, best ridge:")
    for name, inputs in (("light", light), ("render", render), ("both", np.c_[light, render])):
        full = np.c_[inputs, inputs**2]
        share = max(predicted(full, wanted, towns, ridge) for ridge in RIDGES)
        print(f"  {name:18} {share:6.2f}")


if __name__ == "__main__":
    main()
