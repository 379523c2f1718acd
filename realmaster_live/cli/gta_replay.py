"""`realmaster gta-replay`: a server in GTA-V's place, from a recording or the embedded town."""

from __future__ import annotations

import argparse
from pathlib import Path

from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError

TOWN = 25  # the demo's


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `gta-replay`."""
    parser.add_argument(
        "url",
        metavar="URL",
        help="deepgtav+tcp://HOST:PORT or deepgtav+zmq://127.0.0.1:PORT to listen on; port 0"
        " takes a free one",
    )
    parser.add_argument(
        "recording", type=Path, nargs="?", metavar="RECORDING", help="what to show again"
    )
    parser.add_argument(
        "--town", type=int, metavar="SEED", help=f"drive in the embedded town (default: {TOWN})"
    )
    parser.add_argument("--rate", type=float, metavar="HZ", help="default: what a client asks for")
    parser.add_argument(
        "--frame", type=flags.size, metavar="WxH", help="default: what a client asks for"
    )
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME",
        help="misbehave, repeatable: split, coalesced, stale, duplicate-keys, disconnect, jitter,"
        " refuse-second, other-size, silent",
    )
    parser.add_argument(
        "--exit-with-parent", type=int, metavar="PID", help="end when this parent process has ended"
    )
    parser.add_argument("--pairs", type=int, metavar="N", help="end after so many frames")
    parser.add_argument("--seed", type=int, default=0, help="of the quirks (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Serve until the recording ends, or Ctrl-C."""
    from contextlib import closing

    from realmaster_live.bridges.gtav.protocol.client import Address
    from realmaster_live.bridges.gtav.protocol.server import open_server
    from realmaster_live.bridges.gtav.standin.server import Behaviour, StandinServer
    from realmaster_live.bridges.gtav.standin.stage import GameStage, RecordedStage
    from realmaster_live.minitown.server.parent import exit_with_parent

    if options.exit_with_parent is not None:
        exit_with_parent(options.exit_with_parent)
    if options.recording is not None and options.town is not None:
        raise ConfigError("expected RECORDING or --town, got both: leave one out")
    if options.rate is not None and not 0 < options.rate <= 1000:
        raise ConfigError(f"expected --rate above 0, got {options.rate:g}: give frames a second")
    behaviour = Behaviour(
        rate=options.rate,
        frame=options.frame,
        quirks=frozenset(options.quirk),
        pairs=options.pairs,
        seed=options.seed,
    )
    address = Address.parse(options.url)
    stage: GameStage
    if options.recording is None:
        from realmaster_live.bridges.gtav.standin.town import TownStage

        stage = TownStage(TOWN if options.town is None else options.town)
    else:
        from realmaster_live.replay.footage import Reading
        from realmaster_live.replay.kinds import find_footage, open_footage

        reading = Reading()
        footage = find_footage(str(options.recording), reading)[0]
        source = open_footage(footage, reading)
        stage = RecordedStage(source.frames(), on_close=source.close)
    with closing(stage), closing(open_server(address)) as server:
        print(f"ready on {address.host}:{server.port}", flush=True)
        standin = StandinServer(server, stage, behaviour)
        standin.serve()
        print(f"sent {standin.sent} frames", flush=True)
    return 0
