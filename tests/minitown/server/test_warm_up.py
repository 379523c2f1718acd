"""What a server has ready before its first client comes: nothing is compiled on a client's time."""

import asyncio
from dataclasses import replace

import numpy as np

from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.server.config import ServerConfig
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.streams import StreamHub
from realmaster_live.minitown.server.towns import Town, load_town


async def warmed_up(town):
    episode = Episode(ServerConfig(vehicles=0, walkers=0), town, StreamHub())
    try:
        await episode.warm_up()
    finally:
        episode.close()


def test_rays_are_ready_before_a_lidar_is_spawned(street):
    network = replace(make_network(7), signals={})  # the street has no models of their poles
    town = Town("MiniTown07", network, street, Rasteriser(street))
    asyncio.run(warmed_up(town))
    assert "caster" in vars(town)  # built, not only when the first lidar asks for it
    down = town.caster.cast(np.array([0.0, 0.0, 1.5]), np.array([[0.0, 0.0, -1.0]]), 10.0)
    assert down.distance[0] == 1.5


def test_a_town_without_pictures_has_no_rays_to_get_ready():
    town = load_town("MiniTown07", drawn=False)
    asyncio.run(warmed_up(town))
    assert town.caster is None
