"""`realmaster gta-standin`: a server in GTA-V's place, from a recording or the embedded town."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from realmaster_live.bridges.gtav.standin.behaviour import Behaviour
from realmaster_live.cli.values import COUNT, RATE, Count, Fields, Flag
from realmaster_live.errors import ConfigError

TOWN = 25  # the demo's


@dataclass(frozen=True, kw_only=True)
class GtaStandin:
    """Serve a recording or the embedded town in GTA-V's place.

    Attributes:
        url: Where to listen: deepgtav+tcp://HOST:PORT or deepgtav+zmq://127.0.0.1:PORT. Port 0
            takes a free one.
        recording: The recording to serve. Without it, the embedded town.
        town: Seed of the embedded town. Without it, 25.
        exit_with_parent: Stop when this parent process has ended.
    """

    url: Annotated[str, Flag(positional=True)]
    recording: Annotated[Path | None, Flag(positional=True)] = None
    town: Annotated[int | None, Flag(metavar="SEED")] = None
    exit_with_parent: Annotated[Count | None, Flag(metavar="PID")] = None
    behaviour: Annotated[
        Behaviour,
        Fields(rate=(RATE,), quirks=(Flag(name="quirk", metavar="NAME"),), pairs=(COUNT,)),
    ] = field(default_factory=Behaviour)


def run(options: GtaStandin) -> int:
    """Serve until the recording ends, or Ctrl-C."""
    import logging

    from realmaster_live.minitown.server.parent import exit_with_parent

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("numba").setLevel(logging.WARNING)
    if options.exit_with_parent is not None:
        exit_with_parent(options.exit_with_parent)
    sent = serve(options, lambda where: print(f"ready on {where}", flush=True))
    print(f"sent {sent} frames", flush=True)
    return 0


def serve(
    options: GtaStandin,
    on_ready: Callable[[str], object],
    is_finished: Callable[[], bool] = lambda: False,
) -> int:
    """Serve until the recording ends or `is_finished`; return how many frames were sent.

    `on_ready` is called with HOST:PORT once clients may connect.

    Raises:
        ConfigError: both a recording and a town are given, or the URL is none. ConnectError: the
            port is taken. RecordingError: the recording cannot be read.
    """
    from contextlib import closing

    from realmaster_live.bridges.gtav.protocol.client import Address
    from realmaster_live.bridges.gtav.protocol.server import open_server
    from realmaster_live.bridges.gtav.standin.server import StandinServer
    from realmaster_live.bridges.gtav.standin.stage import GameStage, RecordedStage

    if options.recording is not None and options.town is not None:
        raise ConfigError("expected RECORDING or --town, got both: leave one out")
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
        standin = StandinServer(server, stage, options.behaviour)
        on_ready(f"{address.host}:{server.port}")
        standin.serve(is_finished)
        return standin.sent
