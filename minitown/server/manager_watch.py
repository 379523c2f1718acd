"""Wakes a client and its Traffic Manager where both wait for a notification that was lost.

In synchronous mode `world.tick()` and the Traffic Manager's thread wait for each other in libcarla,
which notifies without holding the lock. A thread that loses the processor between its check and its
wait misses the notification, and both wait forever; on a busy machine that takes some thousand
ticks. A Traffic Manager that is told to leave synchronous mode notifies its thread once more, which
then does a step and notifies the client: so it is told to leave it, and to enter it again.

A client that pauses on purpose looks the same. Its Traffic Manager then does one step too many, and
from there on its steps run beside the client's own work, not before `tick()` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from realmaster_live.bridges.carla.wire.rpc import pack
from realmaster_live.minitown.server.episode import Episode

log = logging.getLogger(__name__)

STALL_S = 20.0  # without any call
ANSWER_S = 2.0
MODE = "set_synchronous_mode"


async def watch_managers(episode: Episode, *, stall_s: float = STALL_S) -> None:
    """Wake Traffic Managers forever, once after each tick that nobody follows up."""
    loop = asyncio.get_running_loop()
    woken = -1
    while True:
        await asyncio.sleep(stall_s / 4)
        frame, quiet_s = episode.world.frame, loop.time() - episode.called_s
        if not (episode.sync and episode.traffic_managers) or quiet_s < stall_s or frame == woken:
            continue
        woken = frame
        log.warning(
            "no call came for %.0f s after a synchronous tick with a Traffic Manager, which is "
            "woken in case a notification was lost",
            quiet_s,
        )
        for port, manager in list(episode.traffic_managers.items()):
            await _wake(manager.host, port)


async def _wake(host: str, port: int) -> None:
    """Let a Traffic Manager leave synchronous mode and enter it again."""
    with contextlib.suppress(OSError, TimeoutError, OverflowError):
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                for number, on in enumerate((False, True)):
                    writer.write(pack([0, number, MODE, [on]]))  # as rpclib has it
                    await reader.read(256)
            finally:
                writer.close()
                await writer.wait_closed()
