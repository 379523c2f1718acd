"""Plots a run's metrics.jsonl: the PSNR of validation clips over training time.

Run `PYTHONPATH=. python benchmarks/training_curves.py RUN/metrics.jsonl curves.png`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.system.pictures import write_picture

WIDTH, HEIGHT, MARGIN = 900, 360, 48  # pixels
COLOURS = {
    "render": (140, 140, 140),
    "plain": (200, 160, 60),
    "true_latents": (60, 150, 60),
    "realized": (40, 60, 200),
}  # BGR, as OpenCV draws


def validation_entries(metrics: Path) -> list[dict[str, Any]]:
    """Return the validation entries in order, each with `seconds` since the run's start."""
    entries: list[dict[str, Any]] = []
    total = 0.0
    clocks: dict[str, float] = {}  # a stage's clock may restart when it is resumed
    for line in metrics.read_text().splitlines():
        entry = json.loads(line)
        if "loss" in entry:
            total += max(0.0, entry["s"] - clocks.get(entry["stage"], 0.0))
            clocks[entry["stage"]] = entry["s"]
        if "validation" in entry:
            entries.append({"stage": entry["stage"], "seconds": total, **entry["validation"]})
    return entries


def draw_curves(entries: list[dict[str, Any]]) -> NDArray[np.uint8]:  # -> (HEIGHT, WIDTH, 3) BGR
    """Return the plot of PSNR in dB over training seconds, with a line for each kind of picture."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    values = [entry[name] for entry in entries for name in COLOURS if name in entry]
    low, high = np.floor(min(values)), np.ceil(max(values))
    end = max(entry["seconds"] for entry in entries) or 1.0

    def place(seconds: float, decibels: float) -> tuple[int, int]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * seconds / end
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (decibels - low) / max(high - low, 1.0)
        return round(x), round(y)

    def write(text: str, at: tuple[int, int], colour: tuple[int, int, int] = (0, 0, 0)) -> None:
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)

    for decibels in np.arange(low, high + 1, 2.0):
        start, stop = place(0.0, decibels), place(end, decibels)
        cv2.line(image, start, stop, (225, 225, 225), 1)
        write(f"{decibels:.0f} dB", (4, start[1] + 4))
    stages: list[str] = []
    for entry in entries:
        if entry["stage"] not in stages:
            stages.append(entry["stage"])
            x, _ = place(entry["seconds"], low)
            write(entry["stage"], (x, HEIGHT - MARGIN + 16 + 13 * (len(stages) % 2)))
    for index, (name, colour) in enumerate(COLOURS.items()):
        points = [place(entry["seconds"], entry[name]) for entry in entries if name in entry]
        cv2.polylines(image, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
        for point in points:
            cv2.circle(image, point, 3, colour, -1, cv2.LINE_AA)
        write(name, (MARGIN + 130 * index, 20), colour)
    write(f"training seconds, {end:.0f} in all", (WIDTH - 260, HEIGHT - 6))
    return image


if __name__ == "__main__":
    metrics, picture = map(Path, sys.argv[1:])
    write_picture(picture, draw_curves(validation_entries(metrics))[..., ::-1])
