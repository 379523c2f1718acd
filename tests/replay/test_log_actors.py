"""What a server reports of a log, and who plays its actors in a world."""

from dataclasses import dataclass, field

import pytest

from realmaster_live.errors import SensorMismatch
from realmaster_live.replay.log_actors import find_replayed, logged_ego, read_actors

INFO = """Version: 1
Map: Town05
Date: 02/21/19 10:46:20

Frame 1 at 0 seconds
 Create 2190: spectator (0) at (-260, -200, 382.001)
 Create 2191: traffic.traffic_light (3) at (4255, 10020, 0)
 Create 24: vehicle.tesla.model3 (1) at (0, 0, 0)
  number_of_wheels = 4
  role_name = traffic
 Create 25: vehicle.tesla.model3 (1) at (100, 0, 0)
  role_name = traffic
 Create 26: vehicle.tesla.model3 (1) at (200, 0, 0)
  role_name = hero
 Create 27: walker.pedestrian.0001 (2) at (0, 300, 0)
Frame 40 at 2.5 seconds
 Destroy 26
 Create 28: vehicle.audi.a2 (1) at (0, 0, 0)
  role_name = hero

Frames: 790
Duration: 46 seconds
"""


@dataclass
class Actor:
    id: int
    type_id: str
    attributes: dict = field(default_factory=dict)


def tesla(number: int, role: str) -> Actor:
    return Actor(number, "vehicle.tesla.model3", {"role_name": role})


def test_vehicles_and_walkers_are_read_with_their_roles_and_times():
    actors = read_actors(INFO)
    assert [one.id for one in actors] == [24, 25, 26, 27, 28]
    assert [one.role for one in actors] == ["traffic", "traffic", "hero", "", "hero"]
    assert (actors[2].created_s, actors[2].destroyed_s, actors[4].created_s) == (0.0, 2.5, 2.5)
    assert read_actors("") == ()


@pytest.mark.parametrize(
    ("ego", "at_s", "expected"),
    [(None, 0.0, 26), (None, 3.0, 28), ("hero", 3.0, 28), ("traffic", 0.0, 24), (27, 0.0, 27)],
)
def test_the_ego_is_who_has_the_role_at_the_start(ego, at_s, expected):
    assert logged_ego(read_actors(INFO), ego, at_s).id == expected


def test_who_is_not_in_the_log_is_answered_with_who_is():
    with pytest.raises(SensorMismatch, match=r"the vehicle 28 in the log at 0 s, got 24 \("):
        logged_ego(read_actors(INFO), 28, 0.0)


def test_an_actor_is_found_by_its_id_or_among_those_that_the_replay_brought():
    logged = [one for one in read_actors(INFO) if one.exists(0.0)]
    hero, second = logged[2], logged[1]
    free = [tesla(24, "traffic"), tesla(25, "traffic"), tesla(26, "hero")]
    assert find_replayed(hero, logged, before={}, actors=free).id == 26
    assert find_replayed(hero, logged, before={}, actors=free[:2]) is None
    taken = Actor(26, "vehicle.audi.a2", {"role_name": "hero"})
    before = {26: taken.type_id, 90: "vehicle.tesla.model3"}
    others = [*free[:2], taken, tesla(90, "hero")]  # today's hero is not the log's
    assert find_replayed(hero, logged, before=before, actors=others) is None
    assert find_replayed(hero, logged, before=before, actors=[*others, tesla(91, "hero")]).id == 91
    same = {26: "vehicle.tesla.model3"}  # the replayer moves this one
    assert find_replayed(hero, logged, before=same, actors=free).id == 26
    moved = [Actor(24, "vehicle.audi.a2"), Actor(25, "vehicle.audi.a2")]
    new = [tesla(50, "traffic"), tesla(51, "traffic")]
    before = {24: "vehicle.audi.a2", 25: "vehicle.audi.a2"}
    assert find_replayed(second, logged, before=before, actors=[*moved, *new]).id == 51
