"""Photoreal pictures for agents that get arrays: CARLA's leaderboard, ScenarioRunner, Gymnasium."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.agents.environment import realize_environment
    from realmaster_live.agents.sensor_interface import realize_agent

_HOMES = {
    "realize_agent": "realmaster_live.agents.sensor_interface",
    "realize_environment": "realmaster_live.agents.environment",
}
__all__ = ["realize_agent", "realize_environment"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
