"""A source with facts that its simulator does not know: its route, seed and licence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.protocols import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a drive beforehand; None where it is not.

    Attributes:
        route: a name of its way through the town. seed: of the town or the scenario.
        licence: of what is recorded.
    """

    route: str | None = None
    seed: int | None = None
    licence: str | None = None

    def of(self, info: SourceInfo) -> SourceInfo:
        """Return a source's description with these facts."""
        given: dict[str, Any] = {
            name: value
            for name in ("route", "seed", "licence")
            if (value := getattr(self, name)) is not None
        }
        return replace(info, **given) if given else info


class DescribedSource:
    """The frames of a source, each with the facts.

    Args:
        source: whose frames these are; it belongs to the caller. facts: what is known of them.
    """

    def __init__(self, source: Source, facts: Facts) -> None:
        self._source = source
        self._facts = facts

    @property
    def info(self) -> SourceInfo:
        """The source's description with the facts."""
        info = getattr(self._source, "info", None)
        return self._facts.of(info if isinstance(info, SourceInfo) else SourceInfo())

    def __getattr__(self, name: str) -> Any:
        """Return what sinks ask the source itself for, such as its roads."""
        return getattr(self._source, name)

    def frames(self) -> Iterator[Frame]:
        """Yield the source's frames."""
        theirs: SourceInfo | None = None
        ours: SourceInfo | None = None
        for frame in self._source.frames():
            if frame.source is not theirs:  # one object as long as the conditions stay
                theirs = frame.source
                ours = None if theirs is None else self._facts.of(theirs)
            yield frame if ours is theirs else replace(frame, source=ours)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
