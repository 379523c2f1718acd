"""Opens the sinks that the options of a verb name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realmaster_live.errors import ConfigError
from realmaster_live.sinks.urls import SinkUrl

if TYPE_CHECKING:
    from realmaster_live.protocols import Sink
    from realmaster_live.sinks.background import BackgroundSink


@dataclass(frozen=True, kw_only=True)
class DisplayOptions:
    """Display while it runs.

    Attributes:
        view: Show a live page for a browser, on 127.0.0.1.
        view_port: Port of the live page; 0 takes a free one.
        view_host: Address on which the live page listens, such as 0.0.0.0 for phones and other
            machines; these need the token.
        view_token: What people have to give to see the page. Without it, one is made and printed
            where other machines reach the page.
        view_recordings: Folder in which the live page may start recordings.
        video: Write the rendered and the realized pictures side by side to this new MP4 file.
        to: Send the realized pictures there as well, such as ros2:, mcap:drive.mcap, foxglove:,
            rerun:, rtsp://HOST:8554/drive, camera: or zmq://127.0.0.1:5555. This may be repeated.
    """

    view: bool = False
    view_port: int = 0
    view_host: str | None = None
    view_token: str | None = None
    view_recordings: Path | None = None
    video: Path | None = None
    to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the port and the URLs, once; raises ConfigError."""
        for url in self.to:
            SinkUrl.parse(url)
        if len(set(self.to)) < len(self.to):
            raise ConfigError(f"expected each --to once, got {', '.join(self.to)}: leave one out")
        if not 0 <= self.view_port <= 65535:
            raise ConfigError(
                f"expected --view-port from 0 to 65535, got {self.view_port}: 0 takes a free one"
            )
        of_the_page = {
            "--view-host": self.view_host,
            "--view-token": self.view_token,
            "--view-recordings": self.view_recordings,
        }
        given = [flag for flag, value in of_the_page.items() if value is not None]
        if given and not self.view:
            raise ConfigError(
                f"expected --view with {', '.join(given)}, got no --view: give it, or leave "
                f"{'it' if len(given) == 1 else 'them'} out"
            )

    @property
    def is_given(self) -> bool:
        """Whether a page, a film or anything else was asked for."""
        return self.view or self.video is not None or bool(self.to)

    @property
    def is_watched(self) -> bool:
        """Whether somebody may watch, so that footage should go at its own pace."""
        return self.view or any(SinkUrl.parse(url).kind.policy != "block" for url in self.to)


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


def open_sink(url: str) -> BackgroundSink:
    """Return the sink of a URL, on a thread of its own; docs/ways-out.md lists the URLs.

    Making it opens nothing: that does `with`, or the run that it is given to. A run in which it
    fails goes on; its `figures` say what became of every frame.

    Raises:
        ConfigError: the URL is none; the message lists them.
        MissingDependency: what it needs is not installed; the message is the pip command.
    """
    from realmaster_live.sinks.background import BackgroundSink

    parsed = SinkUrl.parse(url)
    return BackgroundSink(parsed.make(), name=parsed.name, policy=parsed.kind.policy)


def check_outputs(display: DisplayOptions) -> None:
    """Make the sink of each URL, and open none: what is wrong shows before anything is started.

    Raises:
        ConfigError, MissingDependency: as `open_sink` does.
    """
    for url in display.to:
        open_sink(url)


def say_on_stderr(line: str) -> None:
    """Print a line for people, beside a progress bar."""
    from realmaster_live.live.progress import console

    console(stderr=True).print(line, soft_wrap=True, markup=False)


def open_displays(
    stack: ExitStack, display: DisplayOptions, say: Callable[[str], None] = say_on_stderr
) -> list[Sink]:
    """Return the film, the live page and the sinks that the options name; `stack` closes them.

    Once they are closed, `say` is told what became of the frames of each URL.
    """
    sinks: list[Sink] = []
    outputs = [open_sink(url) for url in display.to]
    stack.callback(_report, outputs, say)
    for output in outputs:
        sinks.append(stack.enter_context(output))
    if display.video is not None:
        from realmaster_live.sinks.video import SideBySideVideo

        sinks.append(stack.enter_context(SideBySideVideo(display.video)))
    if display.view:
        from realmaster_live.sinks.viewer.live_view import HOST, LiveView

        view = stack.enter_context(
            LiveView(
                port=display.view_port,
                host=display.view_host or HOST,
                token=display.view_token,
                recordings=display.view_recordings,
            )
        )
        say(f"live view: {view.url}")
        sinks.append(view)
    return sinks


def _report(outputs: Sequence[BackgroundSink], say: Callable[[str], None]) -> None:
    for output in outputs:
        say(str(output.figures))
