"""Films of weathers: render and realized picture beside each other, with the prompt's share."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Chunk
from realmaster_live.recording.sample import Sample
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.training.evaluate.pictures import write_sheet

BAND = 28  # pixels below the pictures, for a line of text
SHEET = 4  # pictures of each prompt in the sheet


@dataclass(kw_only=True)
class Films:
    """Writes a film of each prompt, and keeps some pictures for a sheet.

    Attributes:
        folder: of the films. fps: frames a second.
    """

    folder: Path
    fps: float
    _stack: ExitStack = field(default_factory=ExitStack)
    _writers: dict[str, PictureWriter] = field(default_factory=dict)
    _kept: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)

    def __enter__(self) -> Films:
        """Return itself."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        """Finish the films."""
        self._stack.close()

    def add(self, prompt: str, sample: Sample, picture: NDArray[np.uint8], chunk: Chunk) -> None:
        """Add a frame to the film of a prompt."""
        shown = beside(sample.image, picture, f"{chunk.prompt} {100 * chunk.prompt_weight:.0f} %")
        if prompt not in self._writers:
            size = shown.shape[1], shown.shape[0]
            path = self.folder / f"{prompt.replace(' ', '-')}.mp4"
            writer = PictureWriter(path, size, self.fps, Pictures(crf=18))
            self._writers[prompt] = self._stack.enter_context(writer)
            self._kept[prompt] = []
        self._writers[prompt].write(shown)
        self._kept[prompt].append(picture)

    def write_sheet(self, path: Path) -> None:
        """Write a row of pictures for each prompt, evenly over the drive."""
        rows = []
        for pictures in self._kept.values():
            places = np.linspace(0, len(pictures) - 1, SHEET + 1)[1:].round().astype(int)
            rows.append(tuple(pictures[place] for place in places))
        if rows:
            labels = [f"{100 * (place + 1) // SHEET} % of the drive" for place in range(SHEET)]
            write_sheet(path, rows, labels)


def beside(
    render: NDArray[np.uint8],  # (H, W, 3)
    picture: NDArray[np.uint8],  # (H, W, 3)
    text: str,
) -> NDArray[np.uint8]:
    """Return both beside each other, and a line of text below."""
    row = np.concatenate([render, picture], axis=1)
    band = np.zeros((BAND, row.shape[1], 3), np.uint8)
    place = (picture.shape[1] + 8, BAND - 9)
    cv2.putText(band, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([row, band])
