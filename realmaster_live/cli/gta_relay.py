"""`realmaster gta-relay`: captures a game on its machine, serves it, and shows what returns."""

from __future__ import annotations

import argparse

from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError

LISTEN, RATE = "127.0.0.1:8010", 60.0


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `gta-relay`."""
    parser.add_argument(
        "--game",
        required=True,
        metavar="URL",
        help="deepgtav+zmq://127.0.0.1:8000, deepgtav+tcp://127.0.0.1:8000,"
        " 'window+capture://Grand Theft Auto V', 'window+capture://?region=x,y,w,h' or device://0",
    )
    parser.add_argument(
        "--listen",
        default=LISTEN,
        metavar="HOST:PORT",
        help="0.0.0.0:8010 lets other machines in, whoever they are; port 0 takes a free one"
        f" (default: {LISTEN})",
    )
    flags.add_size(parser)
    parser.add_argument(
        "--game-size",
        type=flags.size,
        default=(1920, 1080),
        metavar="WxH",
        help="of the game's picture (default: 1920x1080)",
    )
    parser.add_argument(
        "--buffer-size", type=flags.size, metavar="WxH", help="of its depth, if it is another"
    )
    parser.add_argument(
        "--labels",
        type=flags.labels,
        default=("depth", "semantic"),
        help="of depth,semantic, or none (default: both, where the game sends them)",
    )
    parser.add_argument(
        "--rate", type=float, default=RATE, metavar="HZ", help=f"at most (default: {RATE:g})"
    )
    parser.add_argument("--near-m", type=float, help="near clip of the game's camera")
    parser.add_argument("--fov-deg", type=float, default=59.0, help="vertical (default: 59)")
    parser.add_argument(
        "--show",
        default="window",
        metavar="WHERE",
        help="realized pictures: window, window:1920x1080+0+0, camera, none, or a new folder"
        " (default: window)",
    )
    parser.add_argument("--seconds", type=flags.seconds, help="default: until Ctrl-C")
    parser.add_argument("--timeout", type=flags.seconds, default=10.0, help="for the game")


def run(options: argparse.Namespace) -> int:
    """Relay until Ctrl-C, or the capture's end."""
    from contextlib import ExitStack

    from realmaster_live.bridges.gtav.link import Request
    from realmaster_live.bridges.gtav.protocol.client import Address
    from realmaster_live.bridges.gtav.relay.display import open_display
    from realmaster_live.bridges.gtav.relay.relay import Relay
    from realmaster_live.optional import require
    from realmaster_live.system.termination import termination_raises

    if not 0 < options.rate <= 1000 or not 0 < options.fov_deg < 180:
        raise ConfigError(
            "expected --rate above 0 and --fov-deg of 0 to 180, got "
            f"{options.rate:g} and {options.fov_deg:g}: give others"
        )
    require("cv2", extra="gta").setNumThreads(1)  # the game wants the other cores
    request = Request(
        game_size=options.game_size,
        buffer_size=options.buffer_size,
        rate=options.rate,
        labels=options.labels,
    )
    with termination_raises(), ExitStack() as stack:
        display = open_display(options.show, fps=options.rate)
        if display is not None:
            stack.callback(display.close)
        relay = stack.enter_context(
            Relay(
                options.game,
                Address.parse(f"deepgtav+tcp://{options.listen}"),
                request=request,
                size=options.size,
                display=display,
                near_m=options.near_m,
                vfov_deg=options.fov_deg,
                timeout_s=options.timeout,
            )
        )
        print(f"ready on {options.listen.rpartition(':')[0]}:{relay.port}", flush=True)
        try:
            relay.run(options.seconds)
        finally:
            counts = ", ".join(f"{count} {name}" for name, count in relay.counts.items())
            print(f"relayed: {counts.replace('_', ' ')}", flush=True)
    return 0
