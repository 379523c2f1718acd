"""The town and everything that moves in it, placed for one frame and ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import kernels as kernels
from realmaster_live.minitown.raster.geometry import (
    Arrays,
    PackedModel,
    concatenate,
    in_chunks,
    pack_models,
)
from realmaster_live.minitown.raster.pose import SWITCHED, part_to_world
from realmaster_live.minitown.raster.surfaces import DARK, LIT, PLAIN, to_linear
from realmaster_live.minitown.scene import Floats, Instance, StaticScene

Ranges = NDArray[np.int64]  # (R, 2) first and end
FIRST_CUTS = 4096  # room for triangles cut at the near plane; grows when a view needs more


@dataclass(frozen=True, kw_only=True)
class Window:
    """A view to draw: a camera's, or the sun's parallel one.

    Attributes:
        view: (3, 4) float32, rows right, up, forward. focal: pixels, or pixels a metre.
        far: metres; what begins beyond it is not drawn.
    """

    view: Floats
    focal: np.float32
    cx: np.float32
    cy: np.float32
    width: int
    height: int
    perspective: bool
    far: float = np.inf


def split(ranges: Ranges, size: int = kernels.BLOCK) -> Ranges:
    """Return the ranges cut into pieces of at most `size`."""
    pieces = -(-(ranges[:, 1] - ranges[:, 0]) // size)
    first = np.repeat(ranges[:, 0] - size * (np.cumsum(pieces) - pieces), pieces)
    starts = first + size * np.arange(pieces.sum())
    return np.stack([starts, np.minimum(starts + size, np.repeat(ranges[:, 1], pieces))], axis=1)


def in_window(
    window: Window,
    middle: NDArray[np.float64],  # (N, 3) metres
    half: NDArray[np.float64],  # (N, 3) metres
) -> NDArray[np.intp]:
    """Return the numbers of the boxes that may show in the window, nearest first."""
    view = window.view.astype(np.float64)
    at = middle @ view[:, :3].T + view[:, 3]
    size = half @ np.abs(view[:, :3]).T
    depth = at[:, 2] + size[:, 2] if window.perspective else np.ones(len(at))
    wide = max(window.cx, window.width - window.cx) / window.focal
    high = max(window.cy, window.height - window.cy) / window.focal
    seen = (
        (depth > 0)
        & (at[:, 2] - size[:, 2] < window.far)
        & (np.abs(at[:, 0]) - size[:, 0] < wide * depth)
        & (np.abs(at[:, 1]) - size[:, 1] < high * depth)
    )
    found = np.flatnonzero(seen)
    return found[np.argsort(at[found, 2] - size[found, 2], kind="stable")]


class Stage:
    """One town's geometry, the moving part of it placed anew for each frame."""

    def __init__(self, scene: StaticScene, numbers: Mapping[str, int]) -> None:
        """Pack the town; `numbers` gives each material's row in the surface table."""
        self._materials = len(numbers)
        town, self._chunks = in_chunks(concatenate(scene.meshes, numbers))
        self._town = town
        self._models, self._vertex_part, self._packed = pack_models(scene.models, numbers)
        self._layout: list[tuple[int, str]] = []
        self._instances: list[Instance] = []
        self._cuts = np.zeros((FIRST_CUTS, 3, 3), np.float32)
        self._cut_source = np.zeros(FIRST_CUTS, np.int32)
        self._lay_out([])

    def place(self, instances: Sequence[Instance]) -> None:
        """Pose the instances; only those that changed since the last call are worked on."""
        layout = [(instance.actor_id, instance.model) for instance in instances]
        if layout != self._layout:
            self._lay_out(instances)
        changed, relit = [], []
        for number, instance in enumerate(instances):
            old = self._instances[number] if number < len(self._instances) else None
            if old is None or not self._same_pose(old, instance):
                changed.append(number)
            if old is None or old.lit != instance.lit or old.paint != instance.paint:
                relit.append(number)
        self._instances = list(instances)
        for number in relit:
            self._switch(number)
        self._pose(changed, instances, self.arrays.positions, self.arrays.normals)
        for number in changed:
            at = instances[number].model_to_world
            radius = self._packed[instances[number].model].radius
            self._middle[number] = at[:3, 3]
            self._half[number] = radius * float(np.linalg.norm(at[:3, 0]))

    def place_before(self, instances: Sequence[Instance]) -> Floats:
        """Return where each vertex (V, 3) was in an earlier state; unknown actors stand still."""
        earlier = {instance.actor_id: instance for instance in instances}
        before = self.arrays.positions.copy()
        old = [earlier.get(now.actor_id, now) for now in self._instances]
        known = [n for n, was in enumerate(old) if was.model == self._instances[n].model]
        self._pose(known, old, before, np.empty_like(before))
        return before

    def draw(
        self,
        window: Window,
        nearness: Floats,  # (H, W), overwritten
        winner: NDArray[np.int32],  # (H, W), overwritten
        *,
        town: bool = True,
        moving: bool = True,
    ) -> None:
        """Fill the visibility buffer of one window."""
        vertices, triangles = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.int64)]
        if moving:
            found = in_window(window, self._middle, self._half)
            vertices.append(self._vertices[found])
            triangles.append(self._triangles[found])
        if town:
            low, high = self._chunks.low, self._chunks.high
            found = in_window(window, (low + high) / 2, (high - low) / 2)
            vertices.append(self._chunks.vertices[found])
            triangles.append(self._chunks.triangles[found])
        blocks = split(np.concatenate(triangles))
        counts = np.zeros((len(blocks), 2), np.int64)
        view, focal, cx, cy = window.view, window.focal, window.cx, window.cy
        kernels.project(
            self.arrays.positions,
            split(np.concatenate(vertices)),
            view,
            focal,
            cx,
            cy,
            window.perspective,
            self._screen,
        )
        kernels.cull(
            self._screen,
            self.arrays.triangles,
            blocks,
            window.width,
            window.height,
            window.perspective,
            self._kept,
            counts,
        )
        cuts = self._clip(blocks, counts, window)
        kernels.fill(
            self._screen,
            self.arrays.triangles,
            blocks,
            counts,
            self._kept,
            self._cuts,
            self._cut_source,
            cuts,
            np.float32(0.0 if window.perspective else -1e9),
            nearness,
            winner,
        )

    def _clip(self, blocks: Ranges, counts: NDArray[np.int64], window: Window) -> int:
        """Cut what crosses the near plane; at most two pieces come of one triangle."""
        needed = 2 * int(counts[:, 1].sum())
        if needed > len(self._cuts):
            self._cuts = np.zeros((2 * needed, 3, 3), np.float32)
            self._cut_source = np.zeros(2 * needed, np.int32)
        return kernels.clip_near(
            self.arrays.positions,
            self.arrays.triangles,
            blocks,
            counts,
            self._kept,
            window.view,
            window.focal,
            window.cx,
            window.cy,
            self._cuts,
            self._cut_source,
        )

    def _lay_out(self, instances: Sequence[Instance]) -> None:
        """Give every instance its place behind the town in the arrays."""
        self._layout = [(instance.actor_id, instance.model) for instance in instances]
        self._instances = []
        placed: list[PackedModel] = [self._packed[name] for _, name in self._layout]
        v = len(self._town.positions) + np.cumsum(
            [0] + [packed.vertices[1] - packed.vertices[0] for packed in placed]
        )
        t = len(self._town.triangles) + np.cumsum(
            [0] + [packed.triangles[1] - packed.triangles[0] for packed in placed]
        )
        self._vertices = np.stack([v[:-1], v[1:]], axis=1)
        self._triangles = np.stack([t[:-1], t[1:]], axis=1)
        self._middle, self._half = np.zeros((len(placed), 3)), np.zeros((len(placed), 3))
        self.paints = np.zeros((max(len(placed), 1), 3), np.float32)
        models = self._models
        lists: dict[str, list[NDArray[np.generic]]] = {
            name: [array] for name, array in self._town._asdict().items()
        }
        for slot, packed in enumerate(placed):
            at = slice(*packed.vertices)
            for name in ("positions", "normals", "uvs"):
                lists[name].append(getattr(models, name)[at])
            at = slice(*packed.triangles)
            count = packed.triangles[1] - packed.triangles[0]
            lists["triangles"].append((models.triangles[at] + v[slot]).astype(np.int32))
            lists["instance"].append(np.full(count, self._layout[slot][0], np.int32))
            lists["slot"].append(np.full(count, slot, np.int32))
            for name in ("surface", "semantic", "density"):
                lists[name].append(getattr(models, name)[at])
        self.arrays = Arrays(**{name: np.concatenate(parts) for name, parts in lists.items()})
        self._screen = np.zeros_like(self.arrays.positions)
        self._kept = np.zeros(len(self.arrays.triangles), np.int32)

    def _switch(self, number: int) -> None:
        """Choose each part's material variant: lamps that are on glow, switched off ones do not."""
        instance, packed = self._instances[number], self._packed[self._layout[number][1]]
        variant = np.array(
            [
                PLAIN if part not in SWITCHED else LIT if part in instance.lit else DARK
                for part in packed.parts
            ],
            np.int32,
        )
        of_model = slice(*packed.triangles)
        self.arrays.surface[slice(*self._triangles[number])] = (
            self._models.surface[of_model] + variant[self._models.slot[of_model]] * self._materials
        )
        self.paints[number] = np.sqrt(to_linear(np.asarray(instance.paint, np.float64)))

    @staticmethod
    def _same_pose(a: Instance, b: Instance) -> bool:
        return (
            a.wheel_spin == b.wheel_spin
            and a.wheel_steer == b.wheel_steer
            and a.stride == b.stride
            and np.array_equal(a.model_to_world, b.model_to_world)
        )

    def _pose(
        self, which: Sequence[int], instances: Sequence[Instance], out: Floats, normals: Floats
    ) -> None:
        """Write the vertices of the numbered instances."""
        if not which:
            return
        packed = [self._packed[instances[number].model] for number in which]
        matrices = np.zeros((len(which), max(len(p.parts) for p in packed), 3, 4), np.float32)
        for row, (number, model) in enumerate(zip(which, packed, strict=True)):
            for column, part in enumerate(model.parts):
                matrices[row, column] = part_to_world(part, model.model, instances[number])[:3]
        kernels.pose_vertices(
            self._models.positions,
            self._models.normals,
            self._vertex_part,
            np.array([p.vertices for p in packed], np.int64),
            self._vertices[list(which), 0],
            matrices,
            out,
            normals,
        )
