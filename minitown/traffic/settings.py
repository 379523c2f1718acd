"""A world's settings, in the order of CARLA's wire layout."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from typing import Any

MIN_DELTA_S, MAX_DELTA_S = 1e-4, 10.0
LONG_STEP_S, PART_S = 1.0, 0.1  # a longer step is driven in parts, of at most a tenth of a second


def parts_of_step(delta_s: float) -> int:
    """Return the number of equal parts in which a step is driven: a long one would skip bends."""
    return 1 if delta_s <= LONG_STEP_S else math.ceil(delta_s / PART_S)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """CARLA's episode settings; `fixed_delta_seconds` None leaves the step to the server."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_seconds: float | None = None
    substepping: bool = True
    max_substep_delta_time: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True

    def to_wire(self) -> list[Any]:
        """Return the values as the wire wants them."""
        values: list[Any] = list(astuple(self))
        values[2] = [False] if self.fixed_delta_seconds is None else [True, values[2]]
        return values

    @classmethod
    def from_wire(cls, values: list[Any]) -> Settings:
        """Return settings from the wire's list; raise ValueError for a step it cannot take."""
        names = [field.name for field in fields(cls)]
        given = dict(zip(names, values, strict=False))
        step = given.get("fixed_delta_seconds") or [False]
        delta = float(step[1]) if len(step) == 2 and step[0] else None
        if delta and not MIN_DELTA_S <= delta <= MAX_DELTA_S:  # 0 leaves it to the server
            raise ValueError(
                f"expected fixed_delta_seconds within {MIN_DELTA_S:g}..{MAX_DELTA_S:g}, got "
                f"{delta:g}: set another"
            )
        given["fixed_delta_seconds"] = delta or None
        return cls(**given)
