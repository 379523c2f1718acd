"""`realmaster attach` and `realmaster record`: realize a running CARLA world, or GTA-V."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from realmaster_live.cli import fidelity_options, gta_options
from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError
from realmaster_live.frames.rig import DEFAULT_LABELS, Rig, RigCamera
from realmaster_live.live.queue import Policy
from realmaster_live.protocols import Engine, Sink

if TYPE_CHECKING:
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.bridges.gtav.bridge import GtavBridge


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
    parser.add_argument("--host", help="of CARLA (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="of CARLA (default: 2000)")
    gta_options.add(parser)
    parser.add_argument(
        "--ego", type=flags.ego, help="role name or actor id (default: hero, else any vehicle)"
    )
    parser.add_argument(
        "--rig",
        type=Path,
        metavar="FILE",
        help="spawn the cameras of this TOML file; --view and --video show the first",
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
    parser.add_argument(
        "--fps",
        type=float,
        default=20.0,
        help="of the simulation that we tick (default: 20); with --passive it is the world's own",
    )
    parser.add_argument("--fov-deg", type=float, help="horizontal (default: 80)")
    parser.add_argument(
        "--labels",
        type=flags.labels,
        help="a list such as depth,semantic,instance,flow, or none"
        f" (default: {','.join(DEFAULT_LABELS)})",
    )
    parser.add_argument(
        "--no-objects", action="store_true", help="leave out what stands and moves around the car"
    )
    parser.add_argument(
        "--policy",
        choices=get_args(Policy),
        help="when the engine is late (default: block, with --passive or --gta drop_oldest)",
    )
    parser.add_argument("--timeout", type=flags.seconds, default=10.0, help="for server and frames")
    flags.add_size(parser)
    parser.set_defaults(size=None)  # to tell whether it was given
    flags.add_engine(parser)
    fidelity_options.add(parser)
    flags.add_prompt(parser)
    flags.add_recording(parser)
    flags.add_view(parser)
    flags.add_video(parser)


def run(options: argparse.Namespace) -> int:
    """Attach, realize until the end, detach."""
    from realmaster_live.live.recorded_run import about_run, run_with_progress
    from realmaster_live.sinks.opening import open_sinks

    gta_options.check(options)
    late: Policy = "drop_oldest" if options.passive or options.gta is not None else "block"
    policy: Policy = options.policy or late
    with ExitStack() as stack:
        bridge: CarlaBridge | GtavBridge = (
            _carla(options) if options.gta is None else gta_options.open_bridge(options)
        )
        stack.enter_context(bridge)
        world = bridge.describe()
        fps = options.fps if isinstance(bridge, Sink) else bridge.fps
        engines = {
            name: _load_engine(stack, options, camera, fps=fps)
            for name, camera in world["cameras"].items()
        }
        first = next(iter(engines.values()))
        about = about_run(options.engine, first, world, policy=policy)
        sinks = open_sinks(stack, options, first.spec, record=options.record, about=about)
        if isinstance(bridge, Sink):
            sinks.append(bridge)  # it sends them on to where they can be shown
        run_with_progress(
            f"{world['map']}",
            bridge,
            engines,
            sinks,
            policy=policy,
            seconds=options.seconds,
        )
    return 0


def _carla(options: argparse.Namespace) -> CarlaBridge:
    from realmaster_live.bridges.carla.bridge import CarlaBridge

    rig = _rig(options)
    return CarlaBridge(
        options.host or "127.0.0.1",
        options.port or 2000,
        ego=options.ego,
        rig=None if options.camera is not None else rig,
        labels=rig.cameras[0].labels,
        adopt=options.camera,
        synchronous=not options.passive,
        fixed_delta_s=1.0 / options.fps,
        timeout_s=options.timeout,
        objects=not options.no_objects,
    )


def _rig(options: argparse.Namespace) -> Rig:
    """Return the cameras to spawn: those of --rig, or the one that the other flags describe."""
    alone = {
        "--size": options.size,
        "--fov-deg": options.fov_deg,
        "--labels": options.labels,
        "--camera": options.camera,
    }
    if options.rig is not None:
        given = [flag for flag, value in alone.items() if value is not None]
        if given:
            raise ConfigError(
                f"expected --rig without {', '.join(alone)}, got {', '.join(given)}: write it in "
                f"{options.rig}"
            )
        return Rig.load(options.rig)
    width, height = options.size or flags.DEFAULT_SIZE
    labels = DEFAULT_LABELS if options.labels is None else options.labels
    fov_deg = 80.0 if options.fov_deg is None else options.fov_deg
    return Rig(
        (RigCamera(name="front", width=width, height=height, fov_deg=fov_deg, labels=labels),)
    )


def _load_engine(
    stack: ExitStack, options: argparse.Namespace, camera: Mapping[str, Any], *, fps: float
) -> Engine:
    """Return one camera's own engine, of the camera's size; `stack` closes it."""
    from realmaster_live.engines.load import load_engine

    engine = load_engine(
        options.engine,
        width=camera["width"],
        height=camera["height"],
        fps=fps,
        prompt=options.prompt,
    )
    stack.callback(engine.close)
    return fidelity_options.wrap(engine, options)
