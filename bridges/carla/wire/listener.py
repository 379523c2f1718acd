"""The listening sockets of servers that speak CARLA's protocol."""

from __future__ import annotations

import errno
import socket

from realmaster_live.errors import ConnectError, reason

TRIES = 20  # to find two free ports, one after the other
BACKLOG = 64  # clients whose connections wait to be accepted


def listening(host: str, port: int) -> socket.socket:
    """Return a listening socket; ConnectError for a port that is taken, or a host elsewhere."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        if isinstance(error, socket.gaierror) or getattr(error, "errno", 0) == errno.EADDRNOTAVAIL:
            raise ConnectError(
                f"expected an IPv4 address of this machine to listen on, got {host!r} "
                f"({reason(error)}): give 127.0.0.1, or 0.0.0.0 for all addresses, with --host"
            ) from error
        raise ConnectError(
            f"expected a free port at {host}:{port}, got {reason(error)}: choose another --port"
        ) from error
    sock.listen(BACKLOG)
    return sock


def listening_pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Return a listening socket for calls and one for streams, on the next port if it is free.

    Where `port` is 0, a port is sought whose next one is free too. Otherwise streams take any other
    port where the next one is taken: tokens name it to clients.
    """
    for left in reversed(range(TRIES)):
        calls = listening(host, port)
        try:
            return calls, listening(host, calls.getsockname()[1] + 1)
        except ConnectError:
            if port or not left:
                break
            calls.close()
    return calls, listening(host, 0)
