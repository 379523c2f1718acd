"""The options of `attach` and `record` that are about GTA-V in CARLA's place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

from realmaster_live.cli.values import Flag, Metres
from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.bridges.gtav.bridge import GtavBridge

# the options that only a CARLA world has
CARLA_ONLY = {
    "host": "--host",
    "port": "--port",
    "ego": "--ego",
    "rig": "--rig",
    "camera": "--camera",
    "passive": "--passive",
    "objects": "--no-objects",
    "sensors": "--sensors",
    "supersample": "--supersample",
    "route": "--route",
}


@dataclass(frozen=True, kw_only=True)
class Game:
    """GTA-V instead of CARLA.

    Attributes:
        gta: Attach to a game: deepgtav+tcp://HOST:PORT for a game or for realmaster gta-relay,
            deepgtav+zmq://127.0.0.1:8000, 'window+capture://TITLE' or device://PATH.
        near_m: Distance of the near clip plane of the game's camera. A relay reports its own.
        game_size: Size of the game's picture. Without it, --size, or over ZeroMQ 1920x1080.
        buffer_size: Size of the game's depth buffer, where it is not that of the picture.
    """

    gta: Annotated[str | None, Flag(metavar="URL")] = None
    near_m: Metres | None = None
    game_size: tuple[int, int] | None = None
    buffer_size: tuple[int, int] | None = None


def check_simulator(game: Game, options: Any) -> None:
    """Raise ConfigError where options of one simulator are given with the other.

    `options` is the dataclass that holds those of CARLA.
    """
    flags = CARLA_ONLY
    if game.gta is None:
        flags = {field.name: f"--{field.name}".replace("_", "-") for field in fields(Game)}
    given_by, word = (game, "without") if game.gta is None else (options, "with")
    defaults = {field.name: field.default for field in fields(given_by)}
    given = [flag for name, flag in flags.items() if getattr(given_by, name) != defaults[name]]
    if given:
        raise ConfigError(
            f"expected no {', '.join(given)} {word} --gta, got "
            f"{'it' if len(given) == 1 else 'them'}: leave out one or the other"
        )


def open_game(
    game: Game,
    *,
    size: tuple[int, int],
    fps: float,
    fov_deg: float | None,
    labels: tuple[str, ...] | None,
    timeout_s: float,
) -> GtavBridge:
    """Return the bridge to a game."""
    from realmaster_live.bridges.gtav.bridge import LABELS, GtavBridge

    assert game.gta is not None
    width, height = size
    return GtavBridge(
        game.gta,
        width=width,
        height=height,
        fps=fps,
        near_m=game.near_m,
        vfov_deg=fov_deg,
        labels=LABELS if labels is None else labels,
        game_size=game.game_size,
        buffer_size=game.buffer_size,
        timeout_s=timeout_s,
    )
