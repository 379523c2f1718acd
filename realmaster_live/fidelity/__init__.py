"""Scores how well realized pictures match the simulator's labels, and acts on those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.fidelity.gate import FidelityGate
    from realmaster_live.fidelity.judge import Judge
    from realmaster_live.fidelity.lock import SafetyLock
    from realmaster_live.fidelity.steady import SteadyEngine
    from realmaster_live.fidelity.thresholds import Thresholds

_HOMES = {
    "FidelityGate": "realmaster_live.fidelity.gate",
    "Judge": "realmaster_live.fidelity.judge",
    "SafetyLock": "realmaster_live.fidelity.lock",
    "SteadyEngine": "realmaster_live.fidelity.steady",
    "Thresholds": "realmaster_live.fidelity.thresholds",
}
__all__ = [
    "FidelityGate",
    "Judge",
    "SafetyLock",
    "SteadyEngine",
    "Thresholds",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
