"""The second renderer's own frames in place of an edit, where the source holds them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.training.pairs.editors.protocol import Picture


class PathTracedEditor:
    """Answers a rendered frame with the same frame of the truth; prompt and seed do nothing."""

    def __init__(
        self,
        rendered: NDArray[np.uint8],  # (T, H, W, 3)
        truth: NDArray[np.uint8],  # (T, H, W, 3)
    ) -> None:
        """Take both clips."""
        self.rendered, self.truth = rendered, truth

    def edit(
        self, image: Picture, prompt: str, seed: int, reference: Picture | None = None
    ) -> Picture:
        """Return the truth of a rendered frame."""
        same = np.flatnonzero([np.array_equal(frame, image) for frame in self.rendered])
        if len(same):
            return np.array(self.truth[same[0]], np.uint8)
        raise PairError(
            "expected a frame of the clip whose truth was given, got another picture: edit frames "
            "of that clip, or take an editor that needs no truth"
        )
