"""`realmaster gta-relay`: captures a game on its machine, serves it, and shows what returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from realmaster_live.cli.values import (
    Address,
    Degrees,
    Flag,
    Labels,
    Metres,
    Rate,
    Seconds,
)


@dataclass(frozen=True, kw_only=True)
class GtaRelay:
    """Capture GTA-V on its machine, serve it to another one, and show what is realized.

    Attributes:
        game: The game: deepgtav+zmq://127.0.0.1:8000, deepgtav+tcp://127.0.0.1:8000,
            'window+capture://Grand Theft Auto V', 'window+capture://?region=x,y,w,h' or
            device://0.
        listen: Where realmaster attach finds the relay. 0.0.0.0:8010 lets any other machine in;
            port 0 takes a free one.
        size: Size of the pictures that are served.
        game_size: Size of the game's picture.
        buffer_size: Size of the game's depth buffer, where it is not that of the picture.
        labels: Labels to serve, out of depth and semantic, or none, where the game sends them.
        rate: Pictures a second at most.
        near_m: Distance of the near clip plane of the game's camera. Without it, the game's usual
            one.
        fov_deg: Vertical field of view.
        show: Where realized pictures are shown: window, window:1920x1080+0+0, camera for a virtual
            camera, none, or a new folder.
        seconds: Stop after this time. Without it, Ctrl-C stops the relay.
        timeout: How long to wait for the game.
    """

    game: Annotated[str, Flag(metavar="URL")]
    listen: Address = ("127.0.0.1", 8010)
    size: tuple[int, int] = (512, 288)
    game_size: tuple[int, int] = (1920, 1080)
    buffer_size: tuple[int, int] | None = None
    labels: Labels = ("depth", "semantic")
    rate: Rate = 60.0
    near_m: Metres | None = None
    fov_deg: Degrees = 59.0
    show: Annotated[str, Flag(metavar="WHERE")] = "window"
    seconds: Seconds | None = None
    timeout: Seconds = 10.0


def run(options: GtaRelay) -> int:
    """Relay until Ctrl-C, or the capture's end."""
    from contextlib import ExitStack

    from realmaster_live.bridges.gtav.link import Request
    from realmaster_live.bridges.gtav.protocol.client import Address
    from realmaster_live.bridges.gtav.relay.display import open_display
    from realmaster_live.bridges.gtav.relay.relay import Relay
    from realmaster_live.optional import require
    from realmaster_live.system.termination import termination_raises

    host, port = options.listen
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
                Address.parse(f"deepgtav+tcp://{host}:{port}"),
                request=request,
                size=options.size,
                display=display,
                near_m=options.near_m,
                vfov_deg=options.fov_deg,
                timeout_s=options.timeout,
            )
        )
        print(f"ready on {host}:{relay.port}", flush=True)
        try:
            relay.run(options.seconds)
        finally:
            counts = ", ".join(f"{count} {name}" for name, count in relay.counts.items())
            print(f"relayed: {counts.replace('_', ' ')}", flush=True)
    return 0
