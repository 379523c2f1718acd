"""How the stand-in for the game behaves; light, for the command line."""

from __future__ import annotations

from dataclasses import dataclass

from realmaster_live.errors import ConfigError

QUIRKS = {
    "split": "TCP segments end anywhere",
    "coalesced": "three pairs are sent at once",
    "stale": "every third pair repeats the one before it",
    "duplicate-keys": "annotations are sent twice, first as []",
    "disconnect": "a client is disconnected in the middle of its sixth picture",
    "jitter": "the time between pairs varies by a factor of nine",
    "refuse-second": "a second client is hung up on",
    "other-size": "pictures are one column wider than requested",
    "silent": "no client ever gets an answer",
}


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the stand-in behaves.

    Attributes:
        rate: Frames a second. Without it, what the client asks for.
        frame: Size of the pictures. Without it, what the client asks for.
        quirks: A fault of real games to imitate: split, coalesced, stale, duplicate-keys,
            disconnect, jitter, refuse-second, other-size or silent. This may be repeated.
        pairs: End after this many frames.
        seed: Seed of the faults.
    """

    rate: float | None = None
    frame: tuple[int, int] | None = None
    quirks: tuple[str, ...] = ()
    pairs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown quirks."""
        for name in self.quirks:
            if name not in QUIRKS:
                raise ConfigError(
                    f"expected quirks among {', '.join(QUIRKS)}, got {name!r}: choose one of them"
                )
