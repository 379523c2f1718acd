"""A Traffic Manager that may have missed a notification is woken: once, and only where it waits."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import msgpack
import pytest

from realmaster_live.minitown.server.episode import Episode, ServerConfig, TrafficManager
from realmaster_live.minitown.server.manager_watch import watch_managers
from realmaster_live.minitown.server.streams import StreamHub
from realmaster_live.minitown.server.towns import load_town

STALL_S = 0.08
TOWN = load_town("MiniTown07", drawn=False)


@asynccontextmanager
async def watched(*, synchronous=True, answers=True):
    """An episode with a Traffic Manager of ours; yields it and what the latter was told."""
    told, handlers = [], set()

    async def connected(reader, writer):
        handlers.add(asyncio.current_task())
        unpacker = msgpack.Unpacker()
        while data := await reader.read(1000):
            unpacker.feed(data)
            for message in unpacker:
                told.append(message[2:])
                if answers:
                    writer.write(msgpack.packb([1, message[1], None, None]))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    episode = Episode(ServerConfig(raster=False, vehicles=0, walkers=0), TOWN, StreamHub())
    episode.world.settings = replace(episode.world.settings, synchronous_mode=synchronous)
    episode.traffic_managers[port] = TrafficManager("elsewhere", 1, "127.0.0.1")
    task = asyncio.create_task(watch_managers(episode, stall_s=STALL_S))
    try:
        yield episode, told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.wait(handlers, timeout=60) if handlers else None
        episode.close()
        server.close()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


MODES = [["set_synchronous_mode", [False]], ["set_synchronous_mode", [True]]]


def test_a_manager_is_woken_once_after_a_tick_that_nobody_follows_up():
    async def check():
        async with watched() as (episode, told):
            await until(lambda: len(told) == 2)
            assert told == MODES
            await asyncio.sleep(5 * STALL_S)
            assert told == MODES
            episode.world.step(0.05)
            await until(lambda: len(told) == 4)
            assert told == MODES * 2

    asyncio.run(check())


@pytest.mark.parametrize("why", ["free", "called", "unregistered"])
def test_a_manager_that_does_not_wait_is_left_alone(why):
    async def check():
        async with watched(synchronous=why != "free") as (episode, told):
            if why == "called":
                episode.called_s = asyncio.get_running_loop().time() + 1000.0
            if why == "unregistered":
                episode.traffic_managers.clear()
            await asyncio.sleep(5 * STALL_S)
            assert told == []

    asyncio.run(check())


def test_a_manager_that_is_gone_or_silent_ends_nothing():
    async def check():
        async with watched(answers=False) as (episode, told):
            episode.traffic_managers[1] = TrafficManager("elsewhere", 1, "127.0.0.1")
            episode.traffic_managers[70_000] = TrafficManager("elsewhere", 1, "127.0.0.1")
            await until(lambda: told == MODES[:1])
            await asyncio.sleep(2.5)
            episode.world.step(0.05)
            await until(lambda: len(told) == 2)

    asyncio.run(check())
