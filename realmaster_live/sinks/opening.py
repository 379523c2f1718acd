"""Opens the sinks that the options of a verb name."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.protocols import Sink


@dataclass(frozen=True, kw_only=True)
class DisplayOptions:
    """Display while it runs.

    Attributes:
        view: Show a live page for a browser, on 127.0.0.1.
        view_port: Port of the live page; 0 takes a free one.
        video: Write the rendered and the realized pictures side by side to this MP4 file.
    """

    view: bool = False
    view_port: int = 0
    video: Path | None = None

    def __post_init__(self) -> None:
        """Check the port, once; raises ConfigError."""
        if not 0 <= self.view_port <= 65535:
            raise ConfigError(
                f"expected --view-port from 0 to 65535, got {self.view_port}: 0 takes a free one"
            )

    @property
    def is_given(self) -> bool:
        """Whether a page or a film was asked for."""
        return self.view or self.video is not None


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """How a recording is written.

    Attributes:
        segment_s: Simulated seconds in one segment of the recording.
        lossless: Record every bit of the pictures, in files about ten times as large.
    """

    segment_s: float = 60.0
    lossless: bool = False

    def __post_init__(self) -> None:
        """Check the length, once; raises ConfigError."""
        if not 0 < self.segment_s <= 1e7:
            raise ConfigError(f"expected --segment-s above 0, got {self.segment_s:g}: give seconds")


def open_recorder(stack: ExitStack, folder: Path, recording: RecordingOptions) -> Sink:
    """Return a recorder in a new folder; `stack` closes it."""
    from realmaster_live.recording import Recorder

    recorder = Recorder(folder, segment_s=recording.segment_s, lossless=recording.lossless)
    return stack.enter_context(recorder)


def open_displays(stack: ExitStack, display: DisplayOptions) -> list[Sink]:
    """Return the film and the live page that the options name; `stack` closes them."""
    sinks: list[Sink] = []
    if display.video is not None:
        from realmaster_live.sinks.video import SideBySideVideo

        sinks.append(stack.enter_context(SideBySideVideo(display.video)))
    if display.view:
        from realmaster_live.live.progress import console
        from realmaster_live.sinks.view import LiveView

        view = stack.enter_context(LiveView(port=display.view_port))
        console(stderr=True).print(f"live view: {view.url}")
        sinks.append(view)
    return sinks
