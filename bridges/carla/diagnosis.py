"""Finds out why no frame came, and names the cause in one sentence."""

from __future__ import annotations

import time
from typing import Any

from realmaster_live.bridges.carla.attachment import WORLD, Attachment
from realmaster_live.bridges.carla.connection import stream_port_shut
from realmaster_live.bridges.carla.ego import name_of
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.errors import BridgeError, ConnectError, FrameTimeout, SensorMismatch

ANSWER_S = 1.0  # a server that is asked for its state while it stalls


def server_gone(session: CarlaSession) -> ConnectError:
    """Return the error for a server that hung up."""
    return ConnectError(
        f"expected the server at {session.host}:{session.port} to go on, got no answer: "
        "it ended or the network broke, start it and attach again"
    )


def check_renders(session: CarlaSession) -> None:
    """Raise SensorMismatch where the world is in no-rendering mode."""
    if session.world.get_settings().no_rendering_mode:
        raise SensorMismatch(
            "expected a world that is rendered, got one in no-rendering mode, in which cameras "
            "deliver nothing: set no_rendering_mode=False in the world's settings"
        )


def explain(
    session: CarlaSession,
    attachment: Attachment | None,
    *,
    we_tick: bool,
    waited_s: float,
    silent: tuple[str, ...] = (),
) -> BridgeError:
    """Return the error for a wait that ended without a frame.

    Args:
        session: attached to the server.
        attachment: what was waited for; None before the cameras are there.
        we_tick: whether the bridge owns the tick.
        waited_s: how long the wait was.
        silent: senders that delivered nothing.
    """
    if not session.is_reachable():
        return server_gone(session)
    where = f"{session.host}:{session.port}"
    if not session.answers(ANSWER_S):
        return ConnectError(
            f"expected the server at {where} to answer within {waited_s:g} s, got nothing although "
            "its port is open: the server stalls; see whether it is paused, overloaded or loading, "
            "or allow more time (--timeout)"
        )
    try:
        check_renders(session)
        settings = session.world.get_settings()
        lost = None if attachment is None else attachment.lost_actor()
    except SensorMismatch as error:
        return error
    except RuntimeError:
        return server_gone(session)
    if lost is not None:
        return actor_destroyed(None if attachment is None else attachment.ego, lost)
    stood_still = attachment is None or (
        WORLD in silent
        if we_tick  # and the wait began after our tick was answered
        else time.monotonic() - attachment.progress.last_tick_at >= 0.9 * waited_s
    )
    if we_tick and not settings.synchronous_mode:
        return FrameTimeout(
            "expected the synchronous world that this bridge ticks, got one that another client "
            "switched to run freely: stop that client, or use synchronous=False (--passive)"
        )
    shut = stream_port_shut(session.host, session.port) if stood_still else None
    if shut is not None:
        return shut
    if stood_still and settings.synchronous_mode and not we_tick:
        return nobody_ticks(session, waited_s)
    if stood_still:
        return FrameTimeout(
            f"expected a tick of the world at {where} within {waited_s:g} s, got none although the "
            "server answers: its simulation stalls; see whether it is paused or overloaded, or "
            "allow more time (--timeout)"
        )
    names = ", ".join(name for name in silent if name != WORLD) or "the cameras"
    return FrameTimeout(
        f"expected images of {names} within {waited_s:g} s, got none while the world went on "
        "ticking: see that the server renders (not started with -nullrhi), draws them in that "
        "time, and that nothing between it and here drops its data stream"
    )


def nobody_ticks(session: CarlaSession, waited_s: float) -> FrameTimeout:
    """Return the error for a synchronous world that stands still."""
    return FrameTimeout(
        f"expected a tick of the synchronous world within {waited_s:g} s, got none: start the "
        "client that ticks it, or use synchronous=True (no --passive) to tick it from here; if a "
        f"killed client left it like this, run `{clean_command(session.host, session.port)}`"
    )


def actor_destroyed(ego: Any | None, actor: Any) -> SensorMismatch:
    """Return the error for the ego, or a camera on it, that another client destroyed."""
    is_ego = ego is not None and actor is ego
    kind = str(actor.type_id).partition(".")[0] if is_ego else "camera"
    return SensorMismatch(
        f"expected {kind} {name_of(actor)} to stay, got it destroyed by another client, and no "
        f"other that takes its place: spawn a {kind} and attach again"
    )


def clean_command(host: str, port: int) -> str:
    """Return the command that puts right what killed clients left behind."""
    return f"realmaster doctor --clean --host {host} --port {port}"
