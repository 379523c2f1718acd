from collections import Counter

import numpy as np
import pytest

from realmaster_live.minitown.plan.navigation import CROSSWALK, SIDEWALK, make_navigation
from realmaster_live.minitown.plan.network import make_network


def edges(polygon):
    return list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))


@pytest.mark.parametrize("seed", [0, 7, 10, 506])
def test_polygons_are_convex_and_every_place_can_be_reached_from_every_other(seed):
    mesh = make_navigation(seed)
    for polygon in mesh.polygons:
        corners = mesh.vertices[list(polygon), :2]
        sides = np.roll(corners, -1, axis=0) - corners
        after = np.roll(sides, -1, axis=0)
        assert (sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] < 0).all()
    shared = Counter(edge for polygon in mesh.polygons for edge in edges(polygon))
    assert set(shared.values()) == {1}
    owner = {edge: n for n, polygon in enumerate(mesh.polygons) for edge in edges(polygon)}
    reached, todo = {0}, [0]
    while todo:
        for a, b in edges(mesh.polygons[todo.pop()]):
            beside = owner.get((b, a))
            if beside is not None and beside not in reached:
                reached.add(beside)
                todo.append(beside)
    assert len(reached) == len(mesh.polygons)


def test_sidewalks_are_up_and_crossings_are_where_the_network_has_them():
    mesh, network = make_navigation(7), make_network(7)
    middles = np.array([mesh.vertices[list(polygon)].mean(axis=0) for polygon in mesh.polygons])
    areas = np.array(mesh.areas)
    assert set(mesh.areas) == {SIDEWALK, CROSSWALK}
    assert np.allclose(middles[areas == SIDEWALK, 2], 0.15)
    for _, ends in network.crossings:
        distance = np.linalg.norm(middles[:, :2] - ends.mean(axis=0), axis=1)
        nearest = distance.argmin()
        assert distance[nearest] < 0.8
        assert areas[nearest] == CROSSWALK and middles[nearest, 2] == 0.0
