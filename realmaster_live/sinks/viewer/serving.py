"""A web server on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from realmaster_live.errors import ConfigError, reason
from realmaster_live.optional import require
from realmaster_live.sinks.viewer.access import HOSTS, http_log

web = require("aiohttp.web", extra="live")

START_S = 10.0
ANYWHERE = ("0.0.0.0", "::", "")


class ServingThread:
    """Serves one aiohttp application until it is stopped.

    Args:
        host: address to listen on. port: 0 takes any free one.

    Attributes:
        port: the one that was taken; 0 before.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._host, self._wanted = host, port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the page; of a server on all addresses, by this machine's own name."""
        host = _own_address() if self._host in ANYWHERE else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def start(self, application: Any, beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Serve, and run `beside` on the server's event loop.

        Raises:
            ConfigError: the address cannot be taken.
        """
        self._thread = threading.Thread(
            target=self._serve, args=(application, beside), name="rm-view", daemon=True
        )
        self._thread.start()
        self._ready.wait(START_S)
        if self._failed is not None:
            self.stop()
            raise ConfigError(
                f"expected a free port of this machine for the view, got {reason(self._failed)}: "
                "choose another port, or 0, or another address"
            ) from self._failed

    def stop(self) -> None:
        """End the server and its thread; may be called twice."""
        if not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it may end between the check and the call
                self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()

    def _serve(self, application: Any, beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        runner = web.AppRunner(
            application, access_log=None, logger=http_log(f"{__name__}.http"), shutdown_timeout=0.2
        )
        try:
            loop.run_until_complete(self._listen(runner))
            task = loop.create_task(beside())
            self._ready.set()
            loop.run_forever()
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        except OSError as error:
            self._failed = error
        finally:
            loop.run_until_complete(runner.cleanup())
            loop.run_until_complete(_end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            self._ready.set()

    async def _listen(self, runner: Any) -> None:
        await runner.setup()
        await web.TCPSite(runner, self._host, self._wanted).start()
        self.port = runner.addresses[0][1]


async def _end_tasks() -> None:
    """Cancel what still runs on this loop, such as connections that are being made."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def is_this_machine(host: str) -> bool:
    """Return whether a server on `host` is reached from this machine alone."""
    return host in HOSTS


def _own_address() -> str:
    """Return this machine's address in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
        except OSError:
            return socket.gethostname()
        address: str = probe.getsockname()[0]
        return address
