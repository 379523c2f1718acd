"""The noise that chunks start from: the same in all engines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 5, 7  # latent positions from one chunk to the next


class ChunkNoise:
    """One draw of noise, moved a little across the picture for every chunk.

    A model may let drops or flakes fall where the noise says, so no two chunks in a row have the
    same; and moving is cheaper than drawing.

    Args:
        shape: of a latent, (1, C, h, w) or (1, C, f, h, w).
        seed: of the draw.

    Attributes:
        seed: of the draw.
    """

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.seed = seed
        self._shape = shape
        self._drawn = draw(shape, seed)
        self._chunk = 0
        self._period = math.lcm(*shape[-2:])

    def reset(self) -> None:
        """Begin anew: the first chunk's noise comes next."""
        self._chunk = 0

    def take(self) -> NDArray[np.float32]:
        """Return the next chunk's noise, in the latent's shape."""
        moved = self._moved(self._drawn, self._chunk)
        self._chunk = (self._chunk + 1) % self._period
        return moved

    def again(self, seed: int) -> NDArray[np.float32]:
        """Return what the chunk before the next one would have had from another seed."""
        drawn = self._drawn if seed == self.seed else draw(self._shape, seed)
        return self._moved(drawn, (self._chunk - 1) % self._period)

    def _moved(self, drawn: NDArray[np.float32], chunk: int) -> NDArray[np.float32]:
        return np.roll(drawn, (ROWS * chunk, COLUMNS * chunk), (-2, -1))


def draw(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Return normal noise that follows from a seed alone."""
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.standard_normal(shape, dtype=np.float32)
