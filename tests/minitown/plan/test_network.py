import numpy as np
import pytest

from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.plan.roads import LaneKey, RoadNetwork

SEEDS = (0, 1, 5, 7, 10)


@pytest.fixture(params=SEEDS)
def network(request: pytest.FixtureRequest) -> RoadNetwork:
    return make_network(request.param)


def _reached(links: dict[LaneKey, list[LaneKey]], start: LaneKey) -> set[LaneKey]:
    seen, stack = {start}, [start]
    while stack:
        fresh = [key for key in links[stack.pop()] if key not in seen]
        seen.update(fresh)
        stack += fresh
    return seen


def test_every_lane_can_be_reached_from_every_lane(network: RoadNetwork) -> None:
    forward = {key: list(lane.successors) for key, lane in network.lanes.items()}
    backward: dict[LaneKey, list[LaneKey]] = {key: [] for key in forward}
    for key, successors in forward.items():
        assert successors, key
        for successor in successors:
            backward[successor].append(key)
    start = next(iter(forward))
    assert _reached(forward, start) == set(forward)
    assert _reached(backward, start) == set(forward)


def test_lanes_join_without_gaps_or_kinks(network: RoadNetwork) -> None:
    for lane in network.lanes.values():
        steps = np.diff(lane.centre, axis=0)
        assert np.linalg.norm(steps, axis=1).max() <= 2.0
        for key in lane.successors:
            after = network.lanes[key].centre
            assert np.allclose(lane.centre[-1], after[0], atol=1e-5)
            a, b = steps[-1], after[1] - after[0]
            assert a @ b > np.cos(np.radians(15)) * np.linalg.norm(a) * np.linalg.norm(b)


def test_signals_guard_the_ends_of_street_lanes(network: RoadNetwork) -> None:
    for lane in network.lanes.values():
        if lane.junction >= 0:
            assert lane.signal == 0
            continue
        signal = network.signals[lane.signal]
        assert {network.lanes[key].junction for key in lane.successors} == {signal.junction}
        ahead = lane.centre[-1] - lane.centre[-2]
        face = np.array([np.cos(np.radians(signal.yaw_deg)), np.sin(np.radians(signal.yaw_deg))])
        assert face @ ahead[:2] / np.linalg.norm(ahead) < -0.99
        assert np.linalg.norm(lane.centre[-1, :2] - signal.position[:2]) < 8.0
    for junction in {signal.junction for signal in network.signals.values()}:
        phases = [s.phase for s in network.signals.values() if s.junction == junction]
        assert set(phases) == {0, 1}


def test_crossings_and_footpaths_stay_off_the_lanes(network: RoadNetwork) -> None:
    lanes = np.concatenate([lane.centre[:, :2] for lane in network.lanes.values()])
    ends = np.concatenate([ends for _, ends in network.crossings])
    for points in (ends, *network.footpaths):
        gaps = np.linalg.norm(points[:, None] - lanes[None], axis=-1).min(axis=1)
        assert gaps.min() > 2.0
    assert len(network.spawn_points) >= 60


def test_towns_differ_by_seed_and_repeat_by_seed() -> None:
    assert make_network(3).opendrive != make_network(4).opendrive
    make_network.cache_clear()
    first = make_network(3)
    make_network.cache_clear()
    assert make_network(3).opendrive == first.opendrive
    assert first.name == "MiniTown03"
