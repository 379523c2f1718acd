"""Rays: against every triangle one by one, and against the depth that is drawn."""

from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.minitown.raster.pose import part_to_world
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.raster.ray_caster import RayCaster
from realmaster_live.minitown.raster.trees import LEAF, forest
from realmaster_live.minitown.server.rays import Triangles, crossings
from realmaster_live.minitown.truth.pathtrace import pixel_rays


def every_triangle(scene, instances):
    """(T, 3, 3) corners, (T,) classes and (T,) actors of all that is drawn."""
    found = [(mesh.positions[mesh.triangles], mesh.semantic, 0) for mesh in scene.meshes]
    for one in instances:
        model = scene.models[one.model]
        for mesh in model.meshes:
            place = part_to_world(mesh.part, model, one)
            corners = mesh.positions[mesh.triangles] @ place[:3, :3].T + place[:3, 3]
            found.append((corners, mesh.semantic, one.actor_id))
    counts = [len(corners) for corners, _, _ in found]
    return (
        np.concatenate([corners for corners, _, _ in found]).astype(float),
        np.repeat([semantic for _, semantic, _ in found], counts),
        np.repeat([actor for _, _, actor in found], counts),
    )


def test_a_ray_meets_what_it_meets_among_all_triangles_one_by_one(street, car):
    instances = (car(), replace(car(x=30.0, y=-4.0, yaw_deg=40.0, wheel_steer=0.4), actor_id=9))
    caster = RayCaster(street)
    caster.place(instances)
    corners, semantic, actor = every_triangle(street, instances)
    triangles = Triangles.of(corners, 0)
    directions = np.random.default_rng(3).normal(size=(400, 3)) * (1.0, 1.0, 0.4)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    start = np.array([4.0, 0.5, 1.3])
    echoes = caster.cast(start, directions, 80.0)
    met = set()
    for n, direction in enumerate(directions):
        shares = crossings(triangles, start, direction * 80.0)
        first = int(shares.argmin())
        if not np.isfinite(shares[first]):
            assert np.isinf(echoes.distance[n]) and echoes.semantic[n] == 0
            continue
        assert echoes.distance[n] == pytest.approx(80.0 * shares[first], abs=2e-4)
        same = np.flatnonzero(np.abs(shares - shares[first]) < 1e-6)  # at an edge either counts
        assert echoes.semantic[n] in semantic[same] and echoes.actor[n] in actor[same]
        normals = np.cross(triangles.sides[0][same], triangles.sides[1][same])
        cosines = np.abs(normals @ direction) / np.linalg.norm(normals, axis=1)
        assert np.abs(cosines - echoes.cosine[n]).min() < 1e-4
        met.add(int(echoes.actor[n]))
    assert met == {0, 9, car().actor_id}
    assert np.isinf(caster.cast(start, directions, 0.5).distance).all()


def test_rays_through_pixels_are_as_long_as_the_depth_that_is_drawn(street, car, camera, frame):
    view = camera(yaw_deg=4.0)
    state = frame(car())
    drawn = Rasteriser(street, shadow_size=0).render(state, view)
    caster = RayCaster(street)
    caster.place(state.instances)
    rays = pixel_rays(view).reshape(-1, 3)
    length = np.linalg.norm(rays, axis=1)
    directions = (rays / length[:, None]) @ view.cam_to_world[:3, :3].T
    echoes = caster.cast(view.cam_to_world[:3, 3], directions, 1000.0)
    depth = (echoes.distance / length).reshape(drawn.depth.shape)
    assert np.array_equal(np.isfinite(depth), np.isfinite(drawn.depth))
    seen = np.isfinite(depth)
    assert (np.abs(depth[seen] - drawn.depth[seen]) < 0.01).mean() > 0.999
    assert (echoes.semantic.reshape(depth.shape) == drawn.semantic)[seen].mean() > 0.999


def test_a_tree_has_every_triangle_once_in_a_box_that_holds_it():
    rng = np.random.default_rng(1)
    groups = [
        rng.uniform(-5, 5, (300, 1, 3)) + rng.normal(size=(300, 3, 3)),
        np.empty((0, 3, 3)),
        np.repeat(rng.normal(size=(1, 3, 3)), 50, axis=0),  # all in one place: no way to split
    ]
    trees = forest([group.astype(np.float32) for group in groups])
    assert sorted(trees.source.tolist()) == list(range(350)) and trees.roots[1] == -1
    leaves = np.flatnonzero(trees.links[:, 1])
    assert trees.links[leaves, 1].sum() == 350
    assert (trees.links[leaves, 1] <= LEAF).sum() == len(leaves) - 1
    everything = np.concatenate(groups)
    for node in leaves:
        first, count = trees.links[node]
        corners = everything[trees.source[first : first + count]].reshape(-1, 3)
        assert (corners >= trees.bounds[node, :3] - 1e-5).all()
        assert (corners <= trees.bounds[node, 3:] + 1e-5).all()
