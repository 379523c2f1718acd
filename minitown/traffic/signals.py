"""Traffic lights: each junction shows its phases in turn, with an all-red between them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from realmaster_live.minitown.plan.roads import RoadNetwork, Signal

RED, YELLOW, GREEN, OFF, UNKNOWN = range(5)  # CARLA's TrafficLightState
LAMPS = {RED: "lamp_red", YELLOW: "lamp_yellow", GREEN: "lamp_green"}


@dataclass(slots=True)
class TrafficLight:
    """One light head; its times are seconds, `red_s` is the all-red after its own yellow."""

    signal: Signal
    state: int = RED
    green_s: float = 10.0
    yellow_s: float = 3.0
    red_s: float = 2.0
    elapsed_s: float = 0.0
    frozen: bool = False

    def show(self, state: int) -> None:
        """Change what the light shows."""
        if state != self.state:
            self.state, self.elapsed_s = state, 0.0

    def lit(self) -> frozenset[str]:
        """Return the lamp that glows."""
        return frozenset({LAMPS[self.state]} if self.state in LAMPS else ())


@dataclass(slots=True)
class Cycle:
    """One junction's lights: `phases[turn]` has its green, then its yellow, then all are red."""

    phases: list[list[TrafficLight]]
    turn: int = 0
    stage: int = GREEN
    elapsed_s: float = 0.0
    lights: list[TrafficLight] = field(init=False)

    def __post_init__(self) -> None:
        self.lights = [light for phase in self.phases for light in phase]
        self.apply()

    def step(self, dt: float) -> None:
        """Move on by `dt` seconds unless one of the lights is frozen."""
        for light in self.lights:
            light.elapsed_s += dt
        if any(light.frozen for light in self.lights):
            return
        self.elapsed_s += dt
        first = self.phases[self.turn][0]
        length = {GREEN: first.green_s, YELLOW: first.yellow_s, RED: first.red_s}[self.stage]
        if self.elapsed_s < length:
            return
        self.elapsed_s = 0.0
        if self.stage == RED:
            self.turn, self.stage = (self.turn + 1) % len(self.phases), GREEN
        else:
            self.stage = YELLOW if self.stage == GREEN else RED
        self.apply()

    def apply(self) -> None:
        """Show the present stage on every light."""
        for light in self.lights:
            light.show(self.stage if light in self.phases[self.turn] else RED)

    def reset(self) -> None:
        """Start again with the first phase's green."""
        self.turn, self.stage, self.elapsed_s = 0, GREEN, 0.0
        self.apply()


class Signals:
    """All lights of a town, by signal id."""

    def __init__(self, network: RoadNetwork) -> None:
        self.lights = {key: TrafficLight(signal) for key, signal in network.signals.items()}
        groups: dict[int, dict[int, list[TrafficLight]]] = defaultdict(lambda: defaultdict(list))
        for light in self.lights.values():
            groups[light.signal.junction][light.signal.phase].append(light)
        self.cycles = {
            junction: Cycle([phases[key] for key in sorted(phases)])
            for junction, phases in sorted(groups.items())
        }
        for n, cycle in enumerate(self.cycles.values()):
            cycle.turn = n % len(cycle.phases)  # neighbours are not all green the same way at once
            cycle.apply()

    def step(self, dt: float) -> None:
        """Move every junction on by `dt` seconds."""
        for cycle in self.cycles.values():
            cycle.step(dt)

    def state(self, signal: int) -> int:
        """Return what a signal shows; GREEN for id 0, which is no signal."""
        return self.lights[signal].state if signal in self.lights else GREEN

    def group(self, signal: int) -> list[TrafficLight]:
        """Return every light of the signal's junction."""
        return self.cycles[self.lights[signal].signal.junction].lights

    def freeze(self, frozen: bool) -> None:
        """Hold every light as it is, or let all go on."""
        for light in self.lights.values():
            light.frozen = frozen

    def reset(self) -> None:
        """Start every junction's cycle again."""
        for cycle in self.cycles.values():
            cycle.reset()
