"""Computes all scores of a realized picture against its render and the labels.

Legend: H height, W width, R parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.boxes import box_scores
from realmaster_live.fidelity.depth_order import border_order, ordinal_agreement
from realmaster_live.fidelity.edges import edge_score, thing_scores
from realmaster_live.fidelity.judge import Judge
from realmaster_live.fidelity.lights import light_score, read_state
from realmaster_live.fidelity.profiles import DISPLACEMENTS, gradients, mean_profiles, profiles
from realmaster_live.fidelity.regions import SIDES, Outline, Regions, find_outline, find_regions
from realmaster_live.fidelity.semantics import appearance, appearance_scores, class_scores
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.trust import FrameTrust, InstanceTrust

REQUIRED_LABELS = ("semantic", "instance")  # at least one of them


def measure(
    rendered: NDArray[np.uint8],  # (H, W, 3)
    realized: NDArray[np.uint8],  # (H, W, 3)
    labels: Mapping[str, NDArray[np.generic]],  # each (H, W)
    objects: Sequence[SceneObject] = (),
    *,
    judge: Judge | None = None,
    look: bool = True,
    min_pixels: int = 80,
) -> FrameTrust:
    """Return the scores by which a realized picture matches the labels.

    Without `look` the appearance of parts is not compared with the render's, for example under a
    prompt for another weather; a judge is used in either case. Objects of fewer than `min_pixels`
    pixels get no scores of their own. Scores whose labels are missing are NaN.

    Raises:
        ConfigError: there are neither semantic nor instance labels.
    """
    regions = find_regions(labels)
    if regions is None:
        raise ConfigError(
            f"expected the labels {' or '.join(REQUIRED_LABELS)} to judge pictures by, got "
            f"{', '.join(labels) or 'none'}: capture them with --labels depth,semantic,instance"
        )
    numbers, outline = regions.numbers, find_outline(regions.numbers)
    changes = gradients(rendered), gradients(realized)
    border = np.zeros(numbers.shape, bool)
    border.ravel()[outline.rows * numbers.shape[1] + outline.columns] = True
    edges = edge_score(np.maximum(*changes[0]), np.maximum(*changes[1]), border)

    predictions = None if judge is None else (judge.predict(rendered), judge.predict(realized))
    looks = np.full(len(regions.keys), np.nan)
    if judge is not None and predictions is not None:
        looks = class_scores(judge, *predictions, numbers, regions.classes)
    elif look:
        count = len(regions.keys)
        looks = appearance_scores(
            appearance(rendered, numbers, count),
            appearance(realized, numbers, count),
            regions.pixels,
        )

    order = float("nan")
    if "depth" in labels:
        depth = np.asarray(labels["depth"], np.float32)
        order = border_order(rendered, realized, depth, numbers, outline)
        if predictions is not None:
            in_render, in_realized = (
                ordinal_agreement(depth, each.log_depth) for each in predictions
            )
            if in_render > 0:
                order = float(np.fmin(order, min(in_realized / in_render, 1.0)))

    lights = _judge_lights(rendered, realized, regions, objects)
    things, boxes = _judge_things(
        rendered, realized, regions, outline, changes, lights, looks, min_pixels
    )
    look_score = _mean(looks, np.sqrt(regions.pixels))
    light = lowest(tuple(lights.values()))
    return FrameTrust(
        edges=edges,
        depth_order=order,
        semantics=look_score,
        boxes=boxes,
        lights=light,
        score=lowest((edges, order, look_score, boxes, light)),
        instances=tuple(things),
    )


def _judge_things(
    rendered: NDArray[np.uint8],
    realized: NDArray[np.uint8],
    regions: Regions,
    outline: Outline,
    changes: tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...],
    lights: Mapping[int, float],  # part -> score
    looks: NDArray[np.float64],  # (R,)
    min_pixels: int,
) -> tuple[list[InstanceTrust], float]:
    """Return the scores of every light and every large enough object, and the mean box score."""
    judged = np.union1d(regions.things(min_pixels), np.array(list(lights), np.int64))
    index = np.full(len(regions.keys), -1)
    index[judged] = np.arange(len(judged))
    own = outline.select(index[outline.inside] >= 0)
    groups = index[own.inside] * len(SIDES) + own.sides
    counts = np.bincount(groups, minlength=len(judged) * len(SIDES)).reshape(-1, len(SIDES))
    sides = [
        mean_profiles(profiles(change, own), groups, counts.size).reshape(
            *counts.shape, len(DISPLACEMENTS)
        )
        for change in changes
    ]
    weight = counts[..., None] / np.maximum(counts.sum(1), 1)[:, None, None]
    edges = thing_scores(*((np.nan_to_num(side) * weight).sum(1) for side in sides))
    boxes = box_scores(
        sides[0], sides[1], counts, mask_boxes(own, index, regions.numbers, len(judged))
    )
    large = regions.pixels[judged] >= min_pixels
    edges, boxes = np.where(large, edges, np.nan), np.where(large, boxes, np.nan)
    things = []
    for number, edge in zip(judged.tolist(), edges.tolist(), strict=True):
        light = lights.get(number, float("nan"))
        look = float(looks[number])
        things.append(
            InstanceTrust(
                mask_id=int(regions.mask_ids[number]),
                pixels=int(regions.pixels[number]),
                edges=edge,
                semantics=look,
                light=light,
                score=lowest((edge, look, light)),
            )
        )
    return things, _mean(boxes, np.sqrt(regions.pixels[judged]))


def _judge_lights(
    rendered: NDArray[np.uint8],
    realized: NDArray[np.uint8],
    regions: Regions,
    objects: Sequence[SceneObject],
) -> dict[int, float]:
    """Return part -> score for the lights whose state the render shows.

    A state that the simulator does not report is read from the render.
    """
    states = {thing.mask_id: thing.light for thing in objects if thing.light and thing.mask_id}
    scores = {}
    heads = (regions.classes == CLASS_IDS["traffic_light"]) & (regions.mask_ids > 0)
    places = np.flatnonzero(heads[regions.numbers]) if heads.any() else np.zeros(0, np.int64)
    numbers, colours = (
        regions.numbers.ravel()[places],
        (rendered.reshape(-1, 3)[places], realized.reshape(-1, 3)[places]),
    )
    for number in np.flatnonzero(heads):
        mask = numbers == number
        rendered_pixels = colours[0][mask]
        state = states.get(int(regions.mask_ids[number])) or read_state(rendered_pixels)
        score = light_score(rendered_pixels, colours[1][mask], state)
        if not math.isnan(score):
            scores[int(number)] = score
    return scores


def mask_boxes(
    outline: Outline,  # of the masks
    index: NDArray[np.integer],  # (R,) the mask's index of each part, negative for none
    numbers: NDArray[np.int32],  # (H, W), parts
    count: int,
) -> NDArray[np.float64]:  # (count, 4)
    """Return the box (left, top, right, bottom) of every mask; right and bottom are exclusive.

    Only the outline and the picture's edge are searched, since a mask's extreme pixels lie there.
    """
    height, width = numbers.shape
    across, down = np.arange(width), np.arange(height)
    rows = [outline.rows, np.zeros_like(across), np.full_like(across, height - 1), down, down]
    columns = [outline.columns, across, across, np.zeros_like(down), np.full_like(down, width - 1)]
    y, x = np.concatenate(rows), np.concatenate(columns)
    masks = index[numbers[y, x]]
    chosen = masks >= 0
    boxes = np.zeros((count, 4))
    for begin, places, size in ((0, x, width), (1, y, height)):
        covered = np.zeros((count, size), bool)
        covered[masks[chosen], places[chosen]] = True
        boxes[:, begin] = covered.argmax(1)
        boxes[:, begin + 2] = size - covered[:, ::-1].argmax(1)
    return boxes


def _mean(scores: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the weighted mean of the scores that are not NaN, or NaN if there are none."""
    known = ~np.isnan(scores)
    total = weights[known].sum()
    return float((scores[known] * weights[known]).sum() / total) if total else float("nan")


def lowest(scores: Sequence[float]) -> float:
    """Return the lowest of the scores that are not NaN, or NaN if there are none."""
    return min((score for score in scores if not math.isnan(score)), default=float("nan"))
