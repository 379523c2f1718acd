"""RunInfo: the description of a run that its sinks get before the first chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.frames.controls import Controls
from realmaster_live.frames.source_info import SourceInfo

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What realizes the chunks.

    Attributes:
        name: of the engine. sha256: of its files together, "" where it has none.
        licence: of its weights.
    """

    name: str = ""
    sha256: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One run of the live loop.

    Attributes:
        source: yields the frames. spec: the chunks of the first camera.
        engine: of the first camera. policy: what happens when the engine is late.
        totals: returns stage of the loop -> how many samples there were so far, and their sum in
            seconds; see `live.stats.STAGES`.
        shared: what the run's sinks make once for all of them, by what makes it; see `share`.
        controls: what may be changed of the engines while the run goes on; None where nothing may.
    """

    source: Any
    spec: ChunkSpec
    engine: EngineInfo = EngineInfo()
    policy: str = "block"
    controls: Controls | None = None
    totals: Callable[[], Mapping[str, tuple[int, float]]] = dict
    shared: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def share(self, make: Callable[[], Made]) -> Made:
        """Return what `make` makes, the same for every sink of the run that asks with it.

        Sinks call it in `begin`, which the run's one thread calls.
        """
        if make not in self.shared:
            self.shared[make] = make()
        made: Made = self.shared[make]
        return made

    @property
    def source_info(self) -> SourceInfo:
        """The source's description as of now; empty where it has none."""
        info = getattr(self.source, "info", None)
        return info if isinstance(info, SourceInfo) else SourceInfo()
