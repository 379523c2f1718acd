"""The sinks that the flags of a verb ask for."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.progress import console
from realmaster_live.protocols import Sink
from realmaster_live.recording import About, Recorder
from realmaster_live.sinks.video import SideBySideVideo
from realmaster_live.sinks.view import LiveView


def open_sinks(
    stack: ExitStack,
    options: argparse.Namespace,
    spec: ChunkSpec,
    *,
    record: Path | None,
    about: About,
) -> list[Sink]:
    """Open a recorder, a film and a page as asked for; `stack` closes them."""
    sinks: list[Sink] = []
    if record is not None:
        recorder = Recorder(
            record, spec, about=about, segment_s=options.segment_s, lossless=options.lossless
        )
        sinks.append(stack.enter_context(recorder))
    if options.video is not None:
        sinks.append(stack.enter_context(SideBySideVideo(options.video, spec.fps)))
    if options.view:
        view = stack.enter_context(LiveView(port=options.view_port))
        console(stderr=True).print(f"live view: {view.url}")
        sinks.append(view)
    return sinks
