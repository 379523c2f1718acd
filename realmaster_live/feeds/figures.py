"""What a feed counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class FeedFigures:
    """Counts of one feed, in images.

    Attributes:
        arrived: that the simulator delivered.
        delivered: that the listener got. rendered: of those, without photoreal pixels.
        realized: that went through the engine.
        dropped: that the listener never got, because the engine was slower.
        skipped: that the listener got and the engine never saw, because it was slower.
        resets: how often the engine forgot its past at a gap.
        failures: calls of the listener that raised; the first of them is logged.
        age_frames: how many frames older than its image the pixels of the latest one are.
        oldest_frames, total_age_frames: the largest age, and the sum of all.
    """

    arrived: int = 0
    delivered: int = 0
    rendered: int = 0
    realized: int = 0
    dropped: int = 0
    skipped: int = 0
    resets: int = 0
    failures: int = 0
    age_frames: int = 0
    oldest_frames: int = 0
    total_age_frames: int = 0

    @property
    def mean_age_frames(self) -> float:
        """The mean age of the photoreal pixels that were delivered, in frames."""
        photoreal = self.delivered - self.rendered
        return self.total_age_frames / photoreal if photoreal else 0.0

    def shown(self, age_frames: int | None) -> None:
        """Count an image that was delivered; `age_frames` is None for the simulator's pixels."""
        self.delivered += 1
        if age_frames is None:
            self.rendered += 1
            return
        self.age_frames = age_frames
        self.oldest_frames = max(self.oldest_frames, age_frames)
        self.total_age_frames += age_frames

    def __str__(self) -> str:
        """Return the figures as one line."""
        photoreal = self.delivered - self.rendered
        text = (
            f"{self.delivered} of {self.arrived} images delivered, {photoreal} of them photoreal, "
            f"{self.mean_age_frames:.1f} frames old on average, {self.oldest_frames} at most; "
            f"{self.dropped} dropped, {self.skipped} not realized, {self.resets} resets"
        )
        return f"{text}, {self.failures} calls of the listener failed" if self.failures else text
