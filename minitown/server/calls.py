"""Remote calls: functions of the episode, and how their results are encoded."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from realmaster_live.bridges.carla.wire.rpc import VOID, value, value_refused, void_refused
from realmaster_live.errors import ActorError, RealMasterError
from realmaster_live.minitown.server.episode import Episode

log = logging.getLogger(__name__)

Returns = Literal["value", "void", "raw"]
CONNECTION: ContextVar[int] = ContextVar("connection")  # number of the connection that calls
PEER: ContextVar[str] = ContextVar("peer", default="")  # its host


MANAGER_PAUSE_S = 0.003


async def pause_for_manager(episode: Episode) -> None:
    """Answer a moment later while a Traffic Manager is registered.

    In synchronous mode the client's tick and the Traffic Manager's thread wait for each other, and
    libcarla notifies both without holding the lock: a notification that comes between the other
    side's check and its wait is lost, and both wait forever. A real server's ticks are so long
    that the other side always waits by then; ours take less than a millisecond.
    """
    if episode.traffic_managers:
        await asyncio.sleep(MANAGER_PAUSE_S)


@dataclass(frozen=True)
class Call:
    """A remote function; `function` takes the episode and the call's arguments."""

    function: Callable[..., Any]
    returns: Returns

    async def answer(self, episode: Episode, name: str, args: list[Any]) -> Any:
        """Run the call; return its wire result, a refusal included."""
        try:
            inspect.signature(self.function).bind(episode, *args)
        except TypeError as error:
            return self.refusal(f"{name}: {error}: use a client of the server's version")
        try:
            result = self.function(episode, *args)
            if inspect.isawaitable(result):
                result = await result
        except RealMasterError as error:
            return self.refusal(str(error) if isinstance(error, ActorError) else f"{name}: {error}")
        except Exception as error:  # the caller's own mistake must not end anybody's connection
            log.exception("the call %s failed", name)
            return self.refusal(
                f"{name}: expected to carry the call out, got {error!r}: report it with the "
                "server's log"
            )
        if self.returns == "value":
            return value(result)
        return VOID if self.returns == "void" else result

    def refusal(self, text: str) -> Any:
        """Return the wire result that makes the client raise `text`."""
        return void_refused(text) if self.returns == "void" else value_refused(text)


def query(function: Callable[..., Any]) -> Call:
    """Return a call with a result."""
    return Call(function, "value")


def command(function: Callable[..., Any]) -> Call:
    """Return a call without a result."""
    return Call(function, "void")
