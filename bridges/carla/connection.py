"""Reaching a CARLA server: its port, its version, its world, and whether it still lives."""

from __future__ import annotations

import logging
import re
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from realmaster_live.errors import ConnectError, reason
from realmaster_live.optional import require

log = logging.getLogger(__name__)

# The client's default is one thread a core. Its callbacks hold those threads while they wait for
# the GIL; on two cores four listening cameras then starve the calls that tick.
WORKER_THREADS = 8
PROBE_TIMEOUT_S = 1.0
AGAIN_S = 0.5  # from one question for the world to the next
HANG_UP_S = 0.2  # a proxy whose server is gone accepts a connection and hangs up at once


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The versions that the client and the server report."""

    client: str
    server: str


def connect(host: str, port: int, timeout_s: float) -> tuple[Any, Any, Versions]:
    """Return the carla module, a client and both versions; raise ConnectError.

    The version is asked for before anything else: a client of another release misreads the
    server's messages and crashes the process.
    """
    carla = require("carla", extra="carla")
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise ConnectError(
            f"expected a CARLA server at {host}:{port} within {timeout_s:g} s, got "
            f"{reason(error)}: start "
            "CarlaUE4.sh, or `realmaster minitown`, or give its host and port"
        ) from error
    client = carla.Client(host, port, WORKER_THREADS)
    client.set_timeout(timeout_s)
    try:
        versions = Versions(client=client.get_client_version(), server=client.get_server_version())
    except RuntimeError as error:
        raise ConnectError(
            f"expected a CARLA server at {host}:{port}, got no answer to `version` within "
            f"{timeout_s:g} s ({error}): see that the port is CARLA's RPC port"
        ) from error
    check_versions(versions)
    return carla, client, versions


def check_versions(versions: Versions) -> None:
    """Raise ConnectError unless both sides are of one release; builds of one release may differ."""
    client, server = release_of(versions.client), release_of(versions.server)
    if client != server:
        named = f"server of release {client}" if client else "server of the client's own build"
        raise ConnectError(
            f"expected a CARLA server of the client's version {versions.client}, got "
            f"{versions.server}: start a {named}"
        )
    if versions.client != versions.server:
        log.warning(
            "client %s and server %s are different builds", versions.client, versions.server
        )


def open_world(client: Any, host: str, port: int, timeout_s: float) -> Any:
    """Return the client's world; raise ConnectError, naming a stream port that is shut.

    A server that answers that it is not ready yet is asked again until `timeout_s` is over.

    CARLA answers calls at its RPC port and sends states and images over a second one, which is the
    RPC port + 1 unless the server was started with another.
    """
    deadline = time.monotonic() + timeout_s - AGAIN_S
    while True:
        try:
            return client.get_world()
        except RuntimeError as error:
            shut = stream_port_shut(host, port)
            if shut is not None:
                raise shut from error
            if time.monotonic() > deadline:
                raise ConnectError(
                    f"expected a world at {host}:{port} within {timeout_s:g} s, got {error}: wait "
                    "until the map is loaded"
                ) from error
        time.sleep(AGAIN_S)


def stream_port_shut(host: str, port: int) -> ConnectError | None:
    """Return the error for a stream port that is shut, None where it is open."""
    if accepts_connections(host, port + 1):
        return None
    return ConnectError(
        f"expected a data stream from {host}:{port + 1}, got a shut port, although the server "
        f"answers calls at port {port}: forward or open the stream port too (it is the one after "
        "the RPC port unless the server was started with another)"
    )


def accepts_connections(host: str, port: int) -> bool:
    """Return whether somebody listens at a port."""
    try:
        socket.create_connection((host, port), PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


class Lifeline:
    """An idle connection to the server's RPC port: its end is noticed at once.

    The client itself notices a dead server only when the timeout of a call expires.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self.is_up()

    def is_up(self) -> bool:
        """Return whether the server still holds a connection; opens another where one ended."""
        with self._lock:
            if self._socket is not None and not _has_ended(self._socket, 0.0):
                return True
            self._hang_up()
            try:
                self._socket = socket.create_connection(self._address, PROBE_TIMEOUT_S)
            except OSError:
                return False
            if _has_ended(self._socket, HANG_UP_S):
                self._hang_up()
                return False
            return True

    def close(self) -> None:
        """Hang up; may be called twice."""
        with self._lock:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _has_ended(connection: socket.socket, wait_s: float) -> bool:
    """Return whether the peer hangs up within a time; it has nothing to send otherwise."""
    try:
        if hasattr(select, "poll"):  # select() knows no descriptors above 1023
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            ready = bool(poll.poll(1000.0 * wait_s))
        else:
            ready = bool(select.select([connection], [], [], wait_s)[0])
        return ready and not connection.recv(1)
    except OSError:
        return True


def release_of(version: str) -> str | None:
    """Return 0.9.16 of 0.9.16-12-gabc; None for a version that begins otherwise."""
    found = re.match(r"\d+\.\d+\.\d+", version)
    return found.group() if found else None
