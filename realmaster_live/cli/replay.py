"""`realmaster replay`: realize a recording again, with this or another engine."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from realmaster_live.cli import options as flags


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `replay`."""
    parser.add_argument("recording", type=Path, help="the folder of a recording")
    parser.add_argument("--out", type=Path, metavar="DIR", help="record the result in a new folder")
    parser.add_argument("--size", type=flags.size, metavar="WxH", help="default: as recorded")
    flags.add_engine(parser)
    flags.add_prompt(parser)
    flags.add_view(parser)
    flags.add_video(parser)


def run(options: argparse.Namespace) -> int:
    """Play the recording through the engine."""
    from realmaster_live.cli.outputs import open_sinks
    from realmaster_live.engines.load import load_engine
    from realmaster_live.live import about_run, run_with_progress
    from realmaster_live.recording import Recording

    with ExitStack() as stack:
        recording = stack.enter_context(Recording(options.recording, pace=options.view))
        recorded = recording.meta.spec
        width, height = options.size or (recorded.width, recorded.height)
        engine = load_engine(
            options.engine, width=width, height=height, fps=recorded.fps, prompt=options.prompt
        )
        stack.callback(engine.close)
        about = recording.meta.about
        source = {**about.source, "replayed_from": recording.folder.name}
        about = about_run(options.engine, engine, source, policy="block", seed=about.seed)
        sinks = open_sinks(stack, options, engine.spec, record=options.out, about=about)
        run_with_progress(
            options.recording.name,
            recording,
            engine,
            sinks,
            max_frames=len(recording) or None,
            resize=options.size is not None,
        )
    return 0
