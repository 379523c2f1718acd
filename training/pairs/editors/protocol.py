"""The interface of an editor: it makes one rendered frame look photographed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""


class Editor(Protocol):
    """Edits pictures by a prompt."""

    def edit(
        self, image: Picture, prompt: str, seed: int, reference: Picture | None = None
    ) -> Picture:
        """Return the edited picture, in the size of `image`.

        `reference` is another frame of the clip, edited before: its light and palette are wanted
        again. Editors that take one picture ignore it.
        """
