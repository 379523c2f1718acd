"""`realmaster attach` and `realmaster record`: realize a running CARLA world."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from realmaster_live.bounded_queue import Policy
from realmaster_live.cli import options as flags


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `attach`."""
    _add_world(parser)
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="keep everything in a new folder"
    )


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `record`."""
    parser.add_argument("record", type=Path, metavar="DIR", help="a new folder to record in")
    _add_world(parser)


def _add_world(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument(
        "--ego", type=flags.ego, help="role name or actor id (default: hero, else any vehicle)"
    )
    parser.add_argument(
        "--camera", type=int, metavar="ID", help="adopt this rgb camera instead of spawning one"
    )
    parser.add_argument(
        "--passive", action="store_true", help="somebody else ticks, or the world runs freely"
    )
    parser.add_argument(
        "--seconds", type=flags.seconds, help="of simulated time (default: until Ctrl-C)"
    )
    parser.add_argument("--fps", type=float, default=20.0, help="of the simulation (default: 20)")
    parser.add_argument("--fov-deg", type=float, default=80.0, help="horizontal (default: 80)")
    parser.add_argument(
        "--labels",
        type=flags.labels,
        default=("depth", "semantic", "instance"),
        help="a list such as depth,semantic,instance,flow, or none",
    )
    parser.add_argument(
        "--policy",
        choices=get_args(Policy),
        help="when the engine is late (default: block, with --passive drop_oldest)",
    )
    parser.add_argument("--timeout", type=flags.seconds, default=10.0, help="for server and frames")
    flags.add_size(parser)
    flags.add_engine(parser)
    flags.add_prompt(parser)
    flags.add_view(parser)
    flags.add_video(parser)


def run(options: argparse.Namespace) -> int:
    """Attach, realize until the end, detach."""
    from realmaster_live.bridges.carla_bridge import CarlaBridge
    from realmaster_live.cli.outputs import open_sinks
    from realmaster_live.engines.load import load_engine
    from realmaster_live.live import about_run, run_with_progress

    width, height = options.size
    policy: Policy = options.policy or ("drop_oldest" if options.passive else "block")
    with ExitStack() as stack:
        bridge = stack.enter_context(
            CarlaBridge(
                options.host,
                options.port,
                ego=options.ego,
                width=width,
                height=height,
                fov_deg=options.fov_deg,
                labels=options.labels,
                adopt=options.camera,
                synchronous=not options.passive,
                fixed_delta_s=1.0 / options.fps,
                timeout_s=options.timeout,
            )
        )
        world = bridge.describe()
        camera = world["camera"]  # an adopted one has a size of its own
        engine = load_engine(
            options.engine,
            width=camera["width"],
            height=camera["height"],
            fps=options.fps,
            prompt=options.prompt,
        )
        stack.callback(engine.close)
        about = about_run(options.engine, engine, world, policy=policy)
        sinks = open_sinks(stack, options, engine.spec, record=options.record, about=about)
        run_with_progress(
            f"{world['map']}",
            bridge,
            engine,
            sinks,
            policy=policy,
            max_frames=None if options.seconds is None else round(options.seconds * options.fps),
        )
    return 0
