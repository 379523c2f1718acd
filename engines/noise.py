"""The noise that denoising starts from, which is the same in all engines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 5, 7  # shift from one chunk to the next, in latent positions


class ChunkNoise:
    """One draw of Gaussian noise, shifted across the picture from chunk to chunk.

    Consecutive chunks must not have the same noise, because a model may draw drops or flakes where
    the noise is high. Shifting is cheaper than drawing anew.

    Args:
        shape: shape of a chunk's latent, (1, C, h, w) or (1, C, f, h, w).
        seed: seed of the draw.

    Attributes:
        seed: seed of the draw.
    """

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.seed = seed
        self._shape = shape
        self._drawn = draw(shape, seed)
        self._chunk = 0
        self._period = math.lcm(*shape[-2:])

    def reset(self) -> None:
        """Start over: `take` returns the first chunk's noise next."""
        self._chunk = 0

    @property
    def chunk(self) -> int:
        """The number of the chunk that is next, over the period after which the noise repeats."""
        return self._chunk

    def go_to(self, chunk: int) -> None:
        """Have `take` return this chunk's noise next; `chunk` is as the property says it."""
        self._chunk = chunk

    def reseed(self, seed: int) -> None:
        """Draw from another seed; `take` goes on with the chunk that is next."""
        if seed != self.seed:
            self.seed, self._drawn = seed, draw(self._shape, seed)

    def take(self) -> NDArray[np.float32]:
        """Return the next chunk's noise, in the latent's shape."""
        moved = self._moved(self._drawn, self._chunk)
        self._chunk = (self._chunk + 1) % self._period
        return moved

    def redraw(self, seed: int) -> NDArray[np.float32]:
        """Return the noise of the chunk that was taken last, drawn from another seed instead."""
        drawn = self._drawn if seed == self.seed else draw(self._shape, seed)
        return self._moved(drawn, (self._chunk - 1) % self._period)

    def _moved(self, drawn: NDArray[np.float32], chunk: int) -> NDArray[np.float32]:
        return np.roll(drawn, (ROWS * chunk, COLUMNS * chunk), (-2, -1))


def draw(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Return standard normal float32 noise, which depends only on shape and seed."""
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.standard_normal(shape, dtype=np.float32)
