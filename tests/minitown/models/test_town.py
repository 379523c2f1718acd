import functools
from collections import Counter

import numpy as np
import pytest

from realmaster_live.minitown.models.bodies import BODIES
from realmaster_live.minitown.models.objects import environment_objects
from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.boxes import Box
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.scene import StaticScene
from realmaster_live.minitown.traffic.obstacles import Obstacles

SEEDS = (5, 12)
ROADS, SIDEWALKS, BUILDING, VEGETATION, ROAD_LINES = 1, 2, 3, 9, 24
STANDING = (3, 4, 5, 6, 8, 14, 20)


@functools.cache
def town_of(seed: int) -> StaticScene:
    return build_town(make_network(seed))


@pytest.fixture(scope="module", params=SEEDS)
def town(request) -> StaticScene:
    return town_of(request.param)


def _triangles(town: StaticScene, *semantics: int) -> np.ndarray:
    return np.concatenate(
        [m.positions[m.triangles] for m in town.meshes if m.semantic in semantics]
    )


def _covered(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Tell of each point (N, 2) whether it lies in one of the triangles, seen from above."""
    found = np.zeros(len(points), bool)
    low, high = triangles[..., :2].min(axis=1), triangles[..., :2].max(axis=1)
    cells = np.floor(points / 20.0)
    for cell in np.unique(cells, axis=0):
        inside = (cells == cell).all(axis=1)
        least, most = points[inside].min(axis=0) - 0.01, points[inside].max(axis=0) + 0.01
        close = ((low <= most) & (high >= least)).all(axis=1)
        found[inside] = _covered_by(points[inside], triangles[close], low[close], high[close])
    return found


def _covered_by(points, triangles, low, high) -> list[bool]:
    found = []
    for point in points:
        near = triangles[((low <= point + 0.01) & (high >= point - 0.01)).all(axis=1)]
        a, b, c = (near[:, k, :2].astype(float) for k in range(3))
        sides = [
            (q[:, 0] - o[:, 0]) * (point[1] - o[:, 1]) - (q[:, 1] - o[:, 1]) * (point[0] - o[:, 0])
            for o, q in ((a, b), (b, c), (c, a))
        ]
        one, other = np.minimum.reduce(sides) >= -1e-3, np.maximum.reduce(sides) <= 1e-3
        found.append(bool((one | other).any()))
    return found


def _lane_points(seed: int, right: float) -> np.ndarray:
    found = []
    for lane in make_network(seed).lanes.values():
        step = np.gradient(lane.centre[:, :2], axis=0)
        step /= np.linalg.norm(step, axis=1, keepdims=True)
        found.append((lane.centre[:, :2] + right * step[:, ::-1] * [-1, 1])[::3])
    return np.concatenate(found)


@pytest.mark.parametrize("right", [-1.7, 0.0, 1.7])
def test_asphalt_lies_under_the_whole_width_of_every_lane(town, right) -> None:
    flat = _triangles(town, ROADS)
    flat = flat[np.abs(flat[..., 2]).max(axis=1) < 1e-4]
    assert _covered(_lane_points(town.seed, right), flat).all()


def test_nothing_stands_in_a_lane(town) -> None:
    things = _triangles(town, *STANDING)
    middles = things.mean(axis=1)
    low = middles[middles[:, 2] < 4.0][:, :2]
    lanes = _lane_points(town.seed, 0.0)
    order = np.argsort(low[:, 0])
    low = low[order]
    for point in lanes:
        start, end = np.searchsorted(low[:, 0], [point[0] - 1.75, point[0] + 1.75])
        near = low[start:end]
        assert not (np.hypot(*(near - point).T) < 1.55).any(), point


def test_crossings_are_painted_and_walkers_stand_on_sidewalks(town) -> None:
    network = make_network(town.seed)
    paint = _triangles(town, ROAD_LINES).mean(axis=1)[:, :2]
    walks = _triangles(town, SIDEWALKS)
    walks = walks[np.ptp(walks[..., 2], axis=1) < 1e-4]
    for _, ends in network.crossings:
        assert (np.linalg.norm(paint - ends.mean(axis=0), axis=1) < 2.5).any()
    ends = np.concatenate([ends for _, ends in network.crossings])
    assert _covered(ends, walks).all()


def test_every_object_has_its_own_number_and_one_class(town) -> None:
    classes: dict[int, set[int]] = {}
    for mesh in town.meshes:
        if mesh.instance:
            classes.setdefault(mesh.instance, set()).add(mesh.semantic)
    assert min(classes) == 10_000
    assert all(len(found) == 1 for found in classes.values())
    assert {next(iter(found)) for found in classes.values()} >= {3, 6, 8, 9, 14, 20}


def test_meshes_are_sound_and_small_enough_to_cull(town) -> None:
    sizes = Counter()
    for mesh in town.meshes:
        assert mesh.material in town.materials
        assert mesh.positions.dtype == mesh.normals.dtype == mesh.uvs.dtype == np.float32
        assert mesh.triangles.dtype == np.int32
        assert np.isfinite(mesh.positions).all()
        assert np.isfinite(mesh.uvs).all()
        assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-3)
        assert mesh.triangles.max() < len(mesh.positions)
        sizes[mesh.semantic] += len(mesh.triangles)
    assert 100_000 < sizes.total() < 290_000


def test_the_same_seed_builds_the_same_town_and_another_one_does_not() -> None:
    first, again = town_of(5), build_town(make_network(5))
    assert len(first.meshes) == len(again.meshes)
    for a, b in zip(first.meshes, again.meshes, strict=True):
        assert np.array_equal(a.positions, b.positions)
    other = town_of(12)
    assert len(other.meshes) != len(first.meshes)


def test_models_fill_the_space_that_their_extent_says(town) -> None:
    for name, body in BODIES.items():
        model = town.models[name]
        points = np.concatenate([m.positions for m in model.meshes if m.semantic != 13])
        low, high = points.min(axis=0), points.max(axis=0)
        assert abs(low[2]) < 0.02, name
        assert np.allclose(high[0] - low[0], 2 * body.extent[0], atol=0.25), name
        assert high[1] - low[1] < 2 * body.extent[1] + 0.45, name  # mirrors stand out
        assert 1_500 <= sum(len(m.triangles) for m in model.meshes) <= 5_000, name
        if body.wheels == 4:
            assert np.allclose(high[2], 2 * body.extent[2], atol=0.05), name
    for name, model in town.models.items():
        parts = {mesh.part for mesh in model.meshes}
        assert all(mesh.instance == 0 for mesh in model.meshes)
        assert set(model.pivots) <= parts, name
        assert {mesh.material for mesh in model.meshes} <= town.materials.keys()


def test_wheels_turn_about_their_own_middles(town) -> None:
    for name in BODIES:
        model = town.models[name]
        for part, pivot in model.pivots.items():
            points = np.concatenate([m.positions for m in model.meshes if m.part == part])
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
            assert np.allclose(middle[[0, 2]], np.array(pivot)[[0, 2]], atol=0.03), (name, part)
    sedan = town.models["sedan"].pivots
    assert sedan["wheel_fl"][1] < 0 < sedan["wheel_fr"][1]
    assert sedan["wheel_fl"][0] > sedan["wheel_rl"][0]


def test_signal_lamps_are_parts_that_face_ahead(town) -> None:
    model = town.models["traffic_light"]
    heights = {}
    for mesh in model.meshes:
        if mesh.part:
            assert np.allclose(mesh.normals, [1, 0, 0], atol=1e-5) or np.allclose(
                mesh.normals, [-1, 0, 0], atol=1e-5
            )
            assert max(town.materials[mesh.material].emission) > 0.5
            heights[mesh.part] = mesh.positions[:, 2].max()
    assert heights["lamp_red"] > heights["lamp_yellow"] > heights["lamp_green"]


def test_things_stop_vehicles_by_what_stands_at_a_bumpers_height(town):
    things = environment_objects(town)
    trees = [one for one in things if one.label == VEGETATION and one.extent[2] > 2.0]
    assert len(trees) > 50
    for tree in trees:
        assert max(tree.extent[:2]) > 1.0  # the crown
        assert max(tree.footprint.half_length, tree.footprint.half_width) < 0.4  # the trunk
    houses = [one for one in things if one.label == BUILDING]
    assert houses and all(one.footprint.half_width > 2.0 for one in houses)


def test_no_thing_stands_in_a_lane(town):
    network = make_network(town.seed)
    obstacles = Obstacles(environment_objects(town))
    for lane in network.lanes.values():
        ways = np.diff(lane.centre[:, :2], axis=0)
        for (x, y, *_), (dx, dy) in zip(lane.centre[:-1], ways, strict=True):
            if dx or dy:
                box = Box(x, y, 0.5, 1.25, float(np.degrees(np.arctan2(dy, dx))))
                assert not list(obstacles.touched_by(box)), (x, y)
