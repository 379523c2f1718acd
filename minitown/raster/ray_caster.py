"""Rays through the town and all that moves in it, as laser scanners and radars send them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import ray_kernels
from realmaster_live.minitown.raster.pose import part_to_world, parts_of
from realmaster_live.minitown.raster.trees import forest
from realmaster_live.minitown.scene import Floats, Instance, Mesh, StaticScene


@dataclass(frozen=True, kw_only=True)
class Echoes:
    """What the rays met, in their order; every array is (R,).

    Attributes:
        distance: metres along the ray, infinite where it met nothing.
        cosine: of the angle between the ray and the surface's normal, 0 to 1.
        semantic: CARLA's class, 0 where nothing was met.
        actor: id of what moves or switches, 0 for the town and for nothing.
    """

    distance: NDArray[np.float64]
    cosine: NDArray[np.float32]
    semantic: NDArray[np.uint8]
    actor: NDArray[np.int32]


class RayCaster:
    """Casts rays at the triangles that are drawn. Not for two threads."""

    def __init__(self, scene: StaticScene) -> None:
        """Build the trees: one of the town, and one of each model's part."""
        groups = [_corners(scene.meshes)]
        semantic = [_semantic(scene.meshes)]
        self._parts: dict[str, tuple[tuple[str, int], ...]] = {}  # (part, tree) by model
        self._radius: dict[str, float] = {}
        for name, model in scene.models.items():
            found = []
            for part in parts_of(model):
                meshes = [mesh for mesh in model.meshes if mesh.part == part]
                found.append((part, len(groups)))
                groups.append(_corners(meshes))
                semantic.append(_semantic(meshes))
            self._parts[name] = tuple(found)
            farthest = [
                np.linalg.norm(one.positions, axis=1).max(initial=0) for one in model.meshes
            ]
            self._radius[name] = float(max(farthest, default=0.0))
        self._models = scene.models
        self._trees = forest(groups)
        self._semantic = np.concatenate(semantic)
        self.place(())

    def place(self, instances: Sequence[Instance]) -> None:
        """Take over where everything is that moves."""
        balls, ranges, matrices = [], [], []
        roots: list[int] = []
        for instance in instances:
            model, at = self._models[instance.model], instance.model_to_world
            scale = float(np.linalg.norm(at[:3, :3], axis=0).max())
            balls.append((*at[:3, 3], self._radius[instance.model] * scale))
            begin = len(roots)
            for part, tree in self._parts[instance.model]:
                if self._trees.roots[tree] >= 0:
                    roots.append(int(self._trees.roots[tree]))
                    matrices.append(part_to_world(part, model, instance))
            ranges.append((begin, len(roots)))
        self._balls = np.array(balls, np.float64).reshape(-1, 4)
        self._ranges = np.array(ranges, np.int64).reshape(-1, 2)
        self._roots = np.array(roots, np.int32)
        whole = np.linalg.inv(np.array(matrices, np.float64).reshape(-1, 4, 4))
        self._world_to_part = np.ascontiguousarray(whole[:, :3])
        self._actors = np.array([*(one.actor_id for one in instances), 0], np.int32)

    def cast(
        self,
        start: NDArray[np.float64],  # (3,) metres
        directions: NDArray[np.float64],  # (R, 3) of length one
        reach: float,  # metres
    ) -> Echoes:
        """Return what each ray meets first within reach."""
        # what is out of reach of all rays is left out before any of them is cast
        gap = np.linalg.norm(self._balls[:, :3] - start, axis=1) - self._balls[:, 3]
        near = np.flatnonzero(gap < reach)
        near = near[np.argsort(gap[near], kind="stable")]
        count = len(directions)
        distance, cosine = np.empty(count), np.empty(count, np.float32)
        source, slot = np.empty(count, np.int32), np.empty(count, np.int32)
        ray_kernels.cast(
            self._trees,
            np.ascontiguousarray(start, np.float64),
            np.ascontiguousarray(directions, np.float64),
            float(reach),
            self._balls[near],
            self._ranges[near],
            self._roots,
            self._world_to_part,
            distance,
            source,
            slot,
            cosine,
        )
        numbers = np.append(near, -1)[slot]  # the last of `_actors` stands for the town
        semantic = np.where(source >= 0, self._semantic[source], 0).astype(np.uint8)
        return Echoes(
            distance=distance, cosine=cosine, semantic=semantic, actor=self._actors[numbers]
        )


def _corners(meshes: Sequence[Mesh]) -> Floats:
    """Return the triangles' corners (T, 3, 3)."""
    found = [mesh.positions[mesh.triangles] for mesh in meshes]
    return np.concatenate([*found, np.empty((0, 3, 3), np.float32)])


def _semantic(meshes: Sequence[Mesh]) -> NDArray[np.uint8]:
    counts = [len(mesh.triangles) for mesh in meshes]
    return np.repeat([mesh.semantic for mesh in meshes], counts).astype(np.uint8)
