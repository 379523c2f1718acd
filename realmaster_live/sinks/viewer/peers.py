"""The pictures by WebRTC: one peer connection for each page, by aiortc (extra `webrtc`).

A page offers a connection with one video track and a data channel, on which it sends what it
watches whenever that changes. It gets the mosaics that an MJPEG reader gets, a few megabits a
second in place of tens. Only this machine's own addresses are offered: no server elsewhere is
asked, so that a page behind a tunnel gets no picture this way and stays with MJPEG.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from fractions import Fraction
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.sinks.viewer.mosaic import Watch
from realmaster_live.sinks.viewer.screen import Screen

aiortc = require("aiortc", extra="webrtc")
codecs = require("aiortc.codecs.vpx", extra="webrtc")
av = require("av", extra="live")

log = logging.getLogger(__name__)

MOST_PEERS = 4  # each has an encoder of its own
CLOCK = Fraction(1, 90_000)
STILL_S = 1.0  # after which a picture is sent again, for a page that lost it
FIRST_BITRATE, MOST_BITRATE = 3_000_000, 8_000_000  # bits a second


class Peers:
    """The peer connections of one view.

    Args:
        screen: what is shown.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._peers: set[Any] = set()
        # aiortc's own are made for talking heads; an encoder reads them when it is made
        codecs.DEFAULT_BITRATE, codecs.MAX_BITRATE = FIRST_BITRATE, MOST_BITRATE

    async def answer(self, offer: dict[str, Any]) -> dict[str, str]:
        """Return the answer to a page's offer, `sdp` and `type`, with what it `watch`es.

        Raises:
            ConfigError: the offer is none, or there are too many peers.
        """
        if len(self._peers) >= MOST_PEERS:
            raise ConfigError(
                f"expected {MOST_PEERS} peers at most, got one more: it is shown by MJPEG"
            )
        watch = Watch.of(offer.get("watch", {}))
        peer = aiortc.RTCPeerConnection()
        self._peers.add(peer)
        try:
            return await self._connect(peer, offer, ScreenTrack(self._screen, watch))
        except Exception as error:  # aiortc raises what its parser meets
            await self._drop(peer)
            raise ConfigError(f"expected a WebRTC offer, got {error!r}: load the page") from error

    async def close(self) -> None:
        """End all connections."""
        for peer in list(self._peers):
            await self._drop(peer)

    async def _connect(
        self, peer: Any, offer: dict[str, Any], track: ScreenTrack
    ) -> dict[str, str]:
        @peer.on("connectionstatechange")  # type: ignore[untyped-decorator]
        async def changed() -> None:
            if peer.connectionState in ("failed", "closed"):
                await self._drop(peer)

        @peer.on("datachannel")  # type: ignore[untyped-decorator]
        def opened(channel: Any) -> None:
            channel.on("message", track.look_at)

        description = aiortc.RTCSessionDescription(sdp=offer["sdp"], type=offer["type"])
        await peer.setRemoteDescription(description)
        peer.addTrack(track)
        await peer.setLocalDescription(await peer.createAnswer())
        return {"sdp": peer.localDescription.sdp, "type": peer.localDescription.type}

    async def _drop(self, peer: Any) -> None:
        self._peers.discard(peer)
        await peer.close()


class ScreenTrack(aiortc.MediaStreamTrack):  # type: ignore[misc, name-defined]
    """The mosaics of a screen as a video track; a peer that is slow gets the newest next."""

    kind = "video"

    def __init__(self, screen: Screen, watch: Watch) -> None:
        super().__init__()
        self._screen, self._watch = screen, watch
        self._sent = 0
        self._began = time.monotonic()

    def look_at(self, message: object) -> None:
        """Watch something else from the next picture on; what cannot be is left out."""
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            self._watch = Watch.of(json.loads(str(message)))

    async def recv(self) -> Any:
        """Return the next picture as an av.VideoFrame, its time from the host's clock."""
        while not await self._screen.after(self._sent, STILL_S) and not self._sent:
            pass  # there is no first picture yet
        self._sent = self._screen.number
        frame = av.VideoFrame.from_ndarray(await self._screen.picture(self._watch), "rgb24")
        frame.pts, frame.time_base = int((time.monotonic() - self._began) / CLOCK), CLOCK
        return frame
