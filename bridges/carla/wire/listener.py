"""The listening sockets of servers that speak CARLA's protocol."""

from __future__ import annotations

import errno
import socket

from realmaster_live.errors import ConnectError, reason

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


def listening_near(host: str, port: int) -> socket.socket:
    """Listen on the port, or on any other when it is taken: tokens name the port to clients."""
    try:
        return listening(host, port)
    except ConnectError:
        return listening(host, 0)
