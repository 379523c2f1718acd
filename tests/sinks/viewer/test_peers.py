"""An aiortc peer, as a browser would be one, gets the pictures over this machine's addresses."""

import asyncio
import json

import numpy as np
import pytest
from strips import strip_of

aiortc = pytest.importorskip("aiortc")

from realmaster_live.sinks.viewer.mosaic import Watch  # noqa: E402
from realmaster_live.sinks.viewer.peers import MOST_PEERS  # noqa: E402


async def connect(client, watch):
    """Return a peer, its channel and the video track that the view sends it."""
    peer = aiortc.RTCPeerConnection()
    channel = peer.createDataChannel("watch")
    tracks = asyncio.Queue()
    peer.on("track", tracks.put_nowait)
    peer.addTransceiver("video", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    local = peer.localDescription
    offer = {"sdp": local.sdp, "type": local.type, "watch": watch}
    status, answer = await asyncio.to_thread(client.post, "/offer", offer)
    assert status == 200, answer
    await peer.setRemoteDescription(aiortc.RTCSessionDescription(**answer))
    return peer, channel, await asyncio.wait_for(tracks.get(), 60)


async def picture(track):
    frame = await asyncio.wait_for(track.recv(), 60)
    return frame.to_ndarray(format="rgb24").astype(int)


def test_a_peer_gets_moving_pictures_with_their_numbers(feeding, client):
    async def watch():
        wanted = {"cameras": ["front", "left"], "layer": "", "strip": True}
        peer, _, track = await connect(client, wanted)
        pictures = [await picture(track) for _ in range(12)]
        await peer.close()
        return pictures

    pictures = asyncio.run(watch())
    width, height = 128, 86  # the cells are as wide as the strip needs
    assert pictures[-1].shape == (2 * height + 8, 2 * width, 3)
    stamp = Watch(cameras=("front", "left"), strip=True).stamp
    strips = [strip_of(one.astype(np.uint8)) for one in pictures]
    numbers = [number for found, number, is_right in strips if is_right and found == stamp]
    assert len(numbers) >= 10 and numbers == sorted(numbers) and numbers[-1] > numbers[0]
    sky, realized = pictures[-1][8, 8], pictures[-1][8, width + 8]
    np.testing.assert_allclose(sky, (120, 160, 220), atol=16)
    np.testing.assert_allclose(realized, (135, 95, 35), atol=16)


def test_a_peer_changes_what_it_watches_on_the_way(feeding, client):
    async def watch():
        peer, channel, track = await connect(client, {"cameras": ["front"]})
        first = await picture(track)
        while channel.readyState != "open":
            await picture(track)
        for message in ("nonsense", json.dumps(["front"]), json.dumps({"layer": "no"})):
            channel.send(message)  # what cannot be watched changes nothing
        channel.send(json.dumps({"cameras": ["left"], "layer": "depth"}))
        for _ in range(60):
            then = await picture(track)
            if then.shape != first.shape:
                break
        await peer.close()
        return first, then

    first, then = asyncio.run(watch())
    assert first.shape == (64, 192, 3) and then.shape == (64, 288, 3)


def test_too_many_peers_are_refused_until_one_leaves(feeding, client):
    async def watch():
        peers = [await connect(client, {}) for _ in range(MOST_PEERS)]
        offer = {"sdp": "", "type": "offer"}
        status, answer = await asyncio.to_thread(client.post, "/offer", offer)
        assert status == 400 and f"{MOST_PEERS} peers at most" in answer["error"]
        for peer, _, track in peers:
            await picture(track)
            await peer.close()
        while "peers at most" in answer["error"]:  # the others' leaving is still on its way
            await asyncio.sleep(0.1)
            _, answer = await asyncio.to_thread(client.post, "/offer", offer)
        again, _, track = await connect(client, {})
        await picture(track)
        await again.close()

    asyncio.run(watch())
