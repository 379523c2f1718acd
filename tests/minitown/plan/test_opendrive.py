import numpy as np
import pytest

from realmaster_live.minitown.plan.network import make_network

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.carla
LIGHT, LIMIT, YIELD, STOP = "1000001", "274", "205", "206"


@pytest.fixture(scope="module", params=(0, 7, 10))
def town(request):
    network = make_network(request.param)
    return network, carla.Map(network.name, network.opendrive)


def _location(point):
    return carla.Location(*(float(value) for value in point))


def _turn(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


def test_map_finds_every_lane_where_the_network_puts_it(town) -> None:
    network, town_map = town
    for lane in network.lanes.values():
        for before, point, after in zip(
            lane.centre, lane.centre[1:], lane.centre[2:], strict=False
        ):
            waypoint = town_map.get_waypoint(_location(point))
            assert waypoint.is_junction == (lane.junction >= 0)
            assert waypoint.next(2.0)
            if lane.junction >= 0:
                continue  # ways through a junction overlap, so the nearest may be another's
            assert (waypoint.road_id, waypoint.lane_id) == lane.key
            assert waypoint.transform.location.distance(_location(point)) < 0.2
            heading = np.degrees(np.arctan2(*(after - before)[1::-1]))
            assert _turn(waypoint.transform.rotation.yaw, heading) < 3


def test_map_follows_ways_through_junctions(town) -> None:
    network, town_map = town
    for lane in network.lanes.values():
        if lane.junction < 0:
            continue
        waypoint = town_map.get_waypoint_xodr(*lane.key, 0.01)
        assert waypoint.transform.location.distance(_location(lane.centre[0])) < 0.05
        length = np.linalg.norm(np.diff(lane.centre, axis=0), axis=1).sum()
        after = waypoint.next(float(length) + 5.0)  # s runs along the lane's left edge
        assert [(w.road_id, w.lane_id) for w in after] == [lane.successors[0]]


def test_topology_joins_each_lane_to_its_successors(town) -> None:
    network, town_map = town
    pairs = {((a.road_id, a.lane_id), (b.road_id, b.lane_id)) for a, b in town_map.get_topology()}
    expected = {(key, to) for key, lane in network.lanes.items() for to in lane.successors}
    assert pairs == expected


def test_spawn_points_face_along_driving_lanes(town) -> None:
    network, town_map = town
    for spawn in network.spawn_points:
        waypoint = town_map.get_waypoint(_location(spawn.location))
        assert waypoint.lane_type == carla.LaneType.Driving
        assert (waypoint.road_id, waypoint.lane_id) == spawn.lane
        assert _turn(waypoint.transform.rotation.yaw, spawn.yaw_deg) < 3


def test_lane_changes_only_between_lanes_of_one_direction(town) -> None:
    network, town_map = town
    for key, lane in network.lanes.items():
        waypoint = town_map.get_waypoint(_location(lane.centre[len(lane.centre) // 2]))
        if lane.junction >= 0:
            continue
        inner = (key[0], key[1] + (1 if key[1] < 0 else -1))
        may_go_left = inner in network.lanes and inner[1] * key[1] > 0
        assert bool(waypoint.lane_change & carla.LaneChange.Left) == may_go_left


def test_signals_are_landmarks_of_the_lanes_they_guard(town) -> None:
    network, town_map = town
    marks = {int(mark.id): mark for mark in town_map.get_all_landmarks_of_type(LIGHT)}
    assert marks.keys() == network.signals.keys()
    for number, mark in marks.items():
        place = _location(network.signals[number].position)
        assert mark.transform.location.distance(place) < 1.0
    for lane in network.lanes.values():
        if lane.junction < 0:
            waypoint = town_map.get_waypoint(_location(lane.centre[len(lane.centre) // 2]))
            ahead = {int(mark.id) for mark in waypoint.get_landmarks(300.0)}
            assert lane.signal in ahead


def test_limits_yield_and_stop_signs_are_landmarks_of_their_lanes(town) -> None:
    network, town_map = town
    lights, limits, yields = (town_map.get_all_landmarks_of_type(t) for t in (LIGHT, LIMIT, YIELD))
    assert len(limits) == len(lights)  # both at each end of a street
    stops = town_map.get_all_landmarks_of_type(STOP)
    assert yields and stops  # every town has T junctions along its outer ring
    met = set()
    ids = [mark.id for mark in town_map.get_all_landmarks()]
    assert len(ids) == len(set(ids)) == sum(map(len, (lights, limits, yields, stops)))
    for key, lane in network.lanes.items():
        if lane.junction >= 0:
            continue
        waypoint = town_map.get_waypoint(_location(lane.centre[1]))
        assert (waypoint.road_id, waypoint.lane_id) == key
        ahead = waypoint.get_landmarks_of_type(20.0, LIMIT, stop_at_junction=True)
        assert [mark.value for mark in ahead] == [round(lane.speed_limit * 3.6)]
        assert ahead[0].unit == "km/h"
        for kind in (YIELD, STOP):  # where the lane ends at a junction
            at_end = waypoint.get_landmarks_of_type(300.0, kind, stop_at_junction=True)
            met |= {mark.id for mark in at_end}
    assert met == {mark.id for mark in (*yields, *stops)}


def test_crosswalks_lie_where_walkers_cross(town) -> None:
    network, town_map = town
    corners = np.array([(p.x, p.y) for p in town_map.get_crosswalks()]).reshape(-1, 5, 2)
    assert len(corners) == len(network.crossings)
    assert np.allclose(corners[:, 0], corners[:, 4])
    for _, ends in network.crossings:
        distance = np.linalg.norm(corners[:, :4].mean(axis=1) - ends.mean(axis=0), axis=-1)
        outline = corners[distance.argmin()]
        assert distance.min() < 0.01
        sides = np.linalg.norm(np.diff(outline, axis=0), axis=-1)
        length = np.linalg.norm(ends[1] - ends[0])
        assert sides.max() == pytest.approx(length - 3.2, abs=0.01)  # from kerb to kerb
        assert sides.min() == pytest.approx(3.0, abs=0.01)
