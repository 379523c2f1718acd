"""The flags of `attach` and `record` that are about GTA-V in CARLA's place."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.bridges.gtav.bridge import GtavBridge

# what only a CARLA world has, and what only a game has: flag -> the option's name and default
OF_CARLA = {
    "--host": ("host", None),
    "--port": ("port", None),
    "--ego": ("ego", None),
    "--rig": ("rig", None),
    "--camera": ("camera", None),
    "--passive": ("passive", False),
    "--no-objects": ("no_objects", False),
}
OF_GAME = {
    "--near-m": ("near_m", None),
    "--game-size": ("game_size", None),
    "--buffer-size": ("buffer_size", None),
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add --gta and what belongs to it."""
    group = parser.add_argument_group("GTA-V instead of CARLA")
    group.add_argument(
        "--gta",
        metavar="URL",
        help="deepgtav+tcp://HOST:PORT (a game or `realmaster gta-relay`),"
        " deepgtav+zmq://127.0.0.1:8000, 'window+capture://TITLE' or device://PATH;"
        " --fov-deg is then vertical (default: what the relay says, else 59)",
    )
    group.add_argument("--near-m", type=float, help="near clip of the game's camera")
    group.add_argument(
        "--game-size",
        type=flags.size,
        metavar="WxH",
        help="of the game's picture (default: --size; over ZeroMQ 1920x1080)",
    )
    group.add_argument(
        "--buffer-size", type=flags.size, metavar="WxH", help="of its depth, if it is another"
    )


def check(options: argparse.Namespace) -> None:
    """Raise ConfigError where flags of one simulator are given with the other."""
    foreign, whose = (OF_GAME, "without") if options.gta is None else (OF_CARLA, "with")
    given = [flag for flag, (name, default) in foreign.items() if getattr(options, name) != default]
    if given:
        raise ConfigError(
            f"expected no {', '.join(given)} {whose} --gta, got "
            f"{'it' if len(given) == 1 else 'them'}: leave out one or the other"
        )


def open_bridge(options: argparse.Namespace) -> GtavBridge:
    """Return the bridge that the flags describe."""
    from realmaster_live.bridges.gtav.bridge import LABELS, GtavBridge

    width, height = options.size or flags.DEFAULT_SIZE
    return GtavBridge(
        options.gta,
        width=width,
        height=height,
        fps=options.fps,
        near_m=options.near_m,
        vfov_deg=options.fov_deg,
        labels=LABELS if options.labels is None else options.labels,
        game_size=options.game_size,
        buffer_size=options.buffer_size,
        timeout_s=options.timeout,
    )
