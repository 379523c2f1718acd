"""What is read of a recording: among what was recorded, in its order."""

from __future__ import annotations

from collections.abc import Collection

from realmaster_live.errors import ConfigError


def chosen(
    what: str, requested: Collection[str] | None, recorded: tuple[str, ...]
) -> tuple[str, ...]:
    """Return what was requested, or all, in the order in which it was recorded.

    Raises:
        ConfigError: something was not recorded.
    """
    unknown = sorted(set(requested or ()) - set(recorded))
    if unknown:
        raise ConfigError(
            f"expected {what} among {', '.join(recorded) or 'none'}, which were recorded, got "
            f"{', '.join(unknown)}: leave them out or record again with them"
        )
    return recorded if requested is None else tuple(n for n in recorded if n in requested)
