"""Object detection: targets and loss of a centre heatmap, and average precision of its boxes.

The method is that of Zhou et al. 2019, "Objects as Points", with an elliptic Gaussian whose axes
are proportional to the object's sides.

Legend: B crops, D kinds, h w cells, N objects.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realmaster_live.optional import require
from realmaster_live.training.perception.augment import Batch
from realmaster_live.training.perception.boxes import Boxes
from realmaster_live.training.perception.groups import DETECTED
from realmaster_live.training.perception.networks import DETECT_STRIDE
from realmaster_live.training.perception.pixels import as_input

ALPHA, BETA = 2.0, 4.0  # exponents of the focal loss, equation 1
SIZE_WEIGHT, OFFSET_WEIGHT = 0.5, 0.5
SIGMA_SHARE = 0.12  # standard deviation of the Gaussian, as a share of the object's side
MIN_SIGMA = 0.7  # cells
MAX_DETECTIONS, MIN_SCORE = 60, 0.02  # of a picture


class Targets(NamedTuple):
    """The training targets of a crop, for each cell."""

    heat: NDArray[np.float32]  # (D, h, w), 1 at a centre
    counts: NDArray[np.float32]  # (D, h, w), 0 at hard boxes, which are ignored
    values: NDArray[np.float32]  # (4, h, w), as Detector outputs them
    centres: NDArray[np.bool_]  # (h, w), True where an object's centre is


class Detections(NamedTuple):
    """A network's detections in a picture, by descending score."""

    corners: NDArray[np.float32]  # (N, 4) pixels
    kinds: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N,)


def targets_of(boxes: Boxes, height: int, width: int) -> Targets:
    """Return the targets of a crop of `height` x `width` cells."""
    heat = np.zeros((len(DETECTED), height, width), np.float32)
    counts = np.ones_like(heat)
    values = np.zeros((4, height, width), np.float32)
    centres = np.zeros((height, width), bool)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    for corners, kind, hard in zip(boxes.corners, boxes.kinds, boxes.hard, strict=True):
        left, top, right, bottom = corners / DETECT_STRIDE
        if hard:
            counts[kind, int(top) : int(bottom) + 1, int(left) : int(right) + 1] = 0.0
            continue
        x, y = (left + right) / 2, (top + bottom) / 2
        column, row = min(int(x), width - 1), min(int(y), height - 1)
        across, down = (max(MIN_SIGMA, SIGMA_SHARE * side) for side in (right - left, bottom - top))
        gaussian = np.exp(-0.5 * (((columns - column) / across) ** 2 + ((rows - row) / down) ** 2))
        np.maximum(heat[kind], gaussian, out=heat[kind])
        sides = (corners[2] - corners[0], corners[3] - corners[1])
        values[:, row, column] = (*np.log(sides), x - column, y - row)
        centres[row, column] = True
    return Targets(heat, np.where(heat == 1.0, np.float32(1.0), counts), values, centres)


def detection_loss(output: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """Return the focal loss of the heatmap plus the L1 losses of size and offset, per object."""
    logits, values = (each.float() for each in output)
    height, width = logits.shape[2:]
    made = [targets_of(boxes, height, width) for boxes in batch.boxes]
    heat, counts, wanted, centres = (
        torch.from_numpy(np.stack([each[place] for each in made])) for place in range(4)
    )
    things = centres.sum().clamp(min=1)
    probability = logits.sigmoid()
    at_centre = heat == 1.0
    hit = (1 - probability) ** ALPHA * nn.functional.logsigmoid(logits)
    missed = (1 - heat) ** BETA * probability**ALPHA * nn.functional.logsigmoid(-logits)
    focal = -(torch.where(at_centre, hit, missed) * counts).sum() / things
    error = (values - wanted).abs() * centres[:, None]
    return focal + (SIZE_WEIGHT * error[:, :2].sum() + OFFSET_WEIGHT * error[:, 2:].sum()) / things


@torch.no_grad()
def detect(network: nn.Module, picture: NDArray[np.uint8]) -> Detections:
    """Return a network's detections in a picture (H, W, 3)."""
    logits, values = network(as_input(picture))
    heat = logits[0].sigmoid()
    peaks = nn.functional.max_pool2d(heat, 3, 1, 1) == heat
    scores, places = (heat * peaks).flatten().topk(min(MAX_DETECTIONS, heat.numel()))
    scores, places = (each[scores > MIN_SCORE].numpy() for each in (scores, places))
    _, height, width = heat.shape
    kinds, rows, columns = np.unravel_index(places, (len(DETECTED), height, width))
    log_width, log_height, right, down = values[0].numpy()[:, rows, columns]
    centre = np.stack([columns + right, rows + down], 1) * DETECT_STRIDE
    half = np.exp(np.stack([log_width, log_height], 1).clip(None, 8.0)) / 2
    edge = np.array([picture.shape[1], picture.shape[0]] * 2, np.float32)
    corners = np.concatenate([centre - half, centre + half], 1).clip(0, edge)
    return Detections(corners.astype(np.float32), kinds.astype(np.int64), scores)


def average_precision(found: Sequence[Detections], wanted: Sequence[Boxes]) -> dict[str, float]:
    """Return AP at an IoU of 0.5, in percent, for each class that occurs (COCO's rule).

    Hard boxes are COCO's "crowd": detections on them are ignored.
    """
    coco, evaluator = (
        require(f"pycocotools.{module}", extra="export") for module in ("coco", "cocoeval")
    )
    truth = coco.COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": place} for place in range(len(wanted))],
        "categories": [{"id": kind, "name": name} for kind, name in enumerate(DETECTED)],
        "annotations": _annotations(wanted),
    }
    results = [
        {"image_id": place, "category_id": int(kind), "bbox": _as_sides(box), "score": float(score)}
        for place, each in enumerate(found)
        for box, kind, score in zip(*each[:2], each.scores, strict=True)
    ]
    present = sorted({int(k) for each in wanted for k in each.kinds[~each.hard]})
    if not results:
        return {DETECTED[kind]: 0.0 for kind in present}
    precisions = {}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        coco_eval = evaluator.COCOeval(truth, truth.loadRes(results), "bbox")
        coco_eval.params.iouThrs = np.array([0.5])
        coco_eval.params.catIds = present
        coco_eval.evaluate()
        coco_eval.accumulate()
    for place, kind in enumerate(present):
        curve = coco_eval.eval["precision"][0, :, place, 0, -1]
        precisions[DETECTED[kind]] = float(100.0 * curve[curve > -1].mean())
    return precisions


def _annotations(wanted: Sequence[Boxes]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, boxes in enumerate(wanted):
        for box, kind, hard in zip(boxes.corners, boxes.kinds, boxes.hard, strict=True):
            sides = _as_sides(box)
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": place,
                    "category_id": int(kind),
                    "bbox": sides,
                    "area": sides[2] * sides[3],
                    "iscrowd": int(hard),
                }
            )
    return rows


def _as_sides(box: NDArray[np.float32]) -> list[float]:
    left, top, right, bottom = map(float, box)
    return [left, top, right - left, bottom - top]
