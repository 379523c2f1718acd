"""The proxy: its ports, its clients' connections, its streams and their engines.

client --RPC, streams of cameras--> proxy --RPC, streams of cameras--> server
client <------------------------ all other streams ------------------- server
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from realmaster_live.bridges.carla.proxy.routes import Routes, Stream
from realmaster_live.bridges.carla.proxy.rpc_link import CONNECT_S, Peer, RpcLink
from realmaster_live.bridges.carla.proxy.stream_hub import Deliver, StreamHub
from realmaster_live.bridges.carla.wire.layouts import LAYOUTS, Layout
from realmaster_live.bridges.carla.wire.listener import listening_pair
from realmaster_live.errors import ConnectError, reason
from realmaster_live.feeds.choice import PICTURE_SENSOR
from realmaster_live.feeds.feed import CameraFeed
from realmaster_live.feeds.lockstep import tick_through
from realmaster_live.feeds.policies import explained
from realmaster_live.feeds.realizing import Realizing, engine_under
from realmaster_live.feeds.two_pass import TwoPass

log = logging.getLogger(__name__)
ASKING_S = 10.0  # how long a client of the stream port may take to name its stream
POLL_S = 0.2


class CarlaProxy:
    """Serves a CARLA server's clients with photoreal rgb cameras; everything else is forwarded.

    Clients connect to `port` as to the server itself. The proxy serves cameras on the next port, or
    on any free one where that is taken. Other streams lead to the server itself, by its IPv4
    address; a client that cannot reach that gets every stream through the proxy with
    `all_streams`, and without it where the server is on this machine and the client is not.

    A server of an unknown version has all bytes forwarded and nothing realized, with a warning.

    Args:
        server: host and RPC port.
        realizing: which cameras, and how.
        host: the address to listen on.
        port: the port to listen on; 0 takes any free one.
        all_streams: lead every stream through the proxy.

    Raises:
        ConnectError: the port is taken, or the server's host has no IPv4 address.
    """

    def __init__(
        self,
        server: tuple[str, int],
        realizing: Realizing,
        *,
        host: str = "127.0.0.1",
        port: int = 3000,
        all_streams: bool = False,
    ) -> None:
        self._server, self._realizing, self._all_streams = server, realizing, all_streams
        self._engines = realizing.engines()
        address = _ipv4(server[0])
        self._listener, self._stream_listener = listening_pair(host, port)
        self.host, self.port = host, self._listener.getsockname()[1]
        self.stream_port = self._stream_listener.getsockname()[1]
        if server[1] == self.port and (address.startswith("127.") or address == host):
            self._listener.close()
            self._stream_listener.close()
            raise ConnectError(
                f"expected a server elsewhere than at the proxy's own {address}:{self.port}, got "
                "that: choose another --port"
            )
        self._routes = Routes(address, self.stream_port)
        self._layout: Layout | None = next(iter(LAYOUTS.values()))  # rgb has one number in all
        self._version = ""
        self._lock = threading.Lock()
        self._links: set[RpcLink] = set()
        self._hubs: dict[int, StreamHub] = {}
        self._chosen: set[int] = set()
        self._closing = threading.Event()
        for accept, sock in ((self._rpc, self._listener), (self._stream, self._stream_listener)):
            name = f"rm-proxy-{accept.__name__.strip('_')}"
            threading.Thread(target=self._accept, args=(sock, accept), name=name).start()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Hang up on everybody and close the engines; may be called twice."""
        self._closing.set()
        with self._lock:
            links, hubs = list(self._links), list(self._hubs.values())
        for link in links:
            link.close()
        for hub in hubs:
            hub.close()
        self._engines.close()

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        """Serve each connection on a thread of its own until the proxy closes."""
        with listener:
            listener.settimeout(POLL_S)
            while not self._closing.is_set():
                try:
                    sock, _ = listener.accept()
                except TimeoutError:
                    continue
                except OSError as error:  # no descriptor is left
                    log.warning("a client cannot be accepted now: %s", error)
                    self._closing.wait(POLL_S)
                    continue
                sock.settimeout(None)
                threading.Thread(
                    target=serve,
                    args=(sock,),
                    name=f"{threading.current_thread().name}-client",
                    daemon=True,
                ).start()

    def _rpc(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server, CONNECT_S)
        except OSError as error:
            log.warning("a client is turned away: no server at %s:%d (%s)", *self._server, error)
            client.close()
            return
        server.settimeout(None)
        in_lockstep = self._realizing.policy == "lockstep"
        peer = Peer(
            routes=self._routes,
            every_stream=self._all_streams or self._is_out_of_reach(client),
            on_layout=self._note_version,
            tick_through=self._tick_through if in_lockstep else None,
        )
        link = RpcLink(client, server, peer)
        with self._lock:
            self._links.add(link)
        link.run()
        with self._lock:
            self._links.discard(link)

    def _is_out_of_reach(self, client: socket.socket) -> bool:
        """Whether a client on another machine would look for the server on its own."""
        with suppress(OSError):
            here, there = client.getsockname()[0], client.getpeername()[0]
            local = there == here or there.startswith("127.")
            return self._routes.host.startswith("127.") and not local
        return False

    def _note_version(self, version: str, layout: Layout | None) -> None:
        with self._lock:
            if version == self._version:
                return
            self._version, self._layout = version, layout
        if layout is None:
            log.warning(
                "the server is CARLA %s, of which the messages are not known (%s are): everything "
                "is forwarded, nothing is realized",
                version,
                ", ".join(LAYOUTS),
            )
        else:
            log.info("the server is CARLA %s", version)

    def _stream(self, sock: socket.socket) -> None:
        """Lead a client that names a stream to its hub."""
        sock.settimeout(ASKING_S)
        request = b""
        try:
            while len(request) < 4:
                part = sock.recv(4 - len(request))
                if not part:
                    sock.close()
                    return
                request += part
        except OSError:
            sock.close()
            return
        sock.settimeout(None)
        (number,) = struct.unpack("<I", request)
        while not self._closing.is_set() and not self._hub(number).add(sock):
            time.sleep(0.01)  # the hub of that stream is just ending

    def _hub(self, number: int) -> StreamHub:
        with self._lock:
            hub = self._hubs.get(number)
            if hub is None:
                layout = self._layout
                hub = self._hubs[number] = StreamHub(
                    number,
                    lambda: self._routes.find(number),
                    self._open_feed,
                    picture_type=None if layout is None else layout.sensor_ids["rgb"],
                    on_idle=self._forget,
                )
            return hub

    def _forget(self, hub: StreamHub) -> None:
        with self._lock:
            if self._hubs.get(hub.number) is hub:
                del self._hubs[hub.number]
            self._chosen.discard(hub.number)

    def _open_feed(
        self, hub: StreamHub, width: int, height: int, fps: float, deliver: Deliver
    ) -> CameraFeed | None:
        """Return what realizes a stream's pictures; None for a camera that is not chosen."""
        stream = self._routes.find(hub.number) or Stream(host="", port=0)
        sizes = {"image_size_x": str(width), "image_size_y": str(height)}
        attributes = {**stream.attributes, **sizes}
        name = attributes.get("role_name") or "camera"
        name = f"{name}-{hub.number}"
        choice, policy = self._realizing.cameras, self._realizing.policy
        with self._lock:
            chosen = choice.fits(PICTURE_SENSOR, attributes) and choice.has_room(len(self._chosen))
            if chosen:
                self._chosen.add(hub.number)
        if not chosen:
            log.info("%s stays as drawn: it is not chosen", name)
            return None
        engine = self._engines.engine_for(*self._realizing.size_for(width, height), fps)
        record = self._realizing.record
        fitted = engine_under(policy, engine, record and record / name)
        spec = fitted.spec
        log.warning("%s: %s", name, explained(policy, spec))
        if (width, height) != (spec.width, spec.height):
            log.warning(
                "%s: %dx%d pictures are realized at %dx%d",
                name,
                width,
                height,
                spec.width,
                spec.height,
            )

        def finished() -> None:
            if isinstance(fitted, TwoPass):
                fitted.hand_over()
            self._engines.release(engine)

        hub.on_finished = finished
        return CameraFeed(
            name,
            fitted,
            deliver,
            policy=policy,
            every_tick=float(attributes.get("sensor_tick", 0.0)) == 0.0,
            listener="a client",
        )

    def _tick_through(self, tick: Callable[[], int]) -> int:
        """Tick through the chunk of all cameras that somebody listens to."""
        with self._lock:
            feeds = [hub.feed for hub in self._hubs.values() if hub.feed is not None]
        return tick_through(tick, feeds, delivered=False)


def _ipv4(host: str) -> str:
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise ConnectError(
            f"expected a host with an IPv4 address, got {host!r} ({reason(error)}): give the "
            "address of the CARLA server"
        ) from error
