"""Memory of pictures and messages that is used again: fresh memory costs more than a copy."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

UNUSED = 2  # references to a buffer that nobody has: the pool's, and that of the call that counts


class BufferPool:
    """Gives out buffers, and the same ones again once nobody refers to them or to a part of them.

    For one thread; what it gives out may go anywhere.

    Args:
        most: how many buffers it remembers; those it forgets are freed when nobody has them.
    """

    def __init__(self, most: int = 12) -> None:
        self._most = most
        self._buffers: list[NDArray[np.uint8]] = []

    def take(self, *shape: int) -> NDArray[np.uint8]:
        """Return uint8 of a shape that nobody else holds; its contents are left over."""
        for at in range(len(self._buffers)):
            if sys.getrefcount(self._buffers[at]) == UNUSED and self._buffers[at].shape == shape:
                return self._buffers[at]
        self._buffers = [*self._buffers[1 - self._most :], np.empty(shape, np.uint8)]
        return self._buffers[-1]
