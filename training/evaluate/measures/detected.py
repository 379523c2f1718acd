"""What a detector of the user's finds in films, held to the boxes of the labels.

Legend: N detections, M labelled boxes.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.figures import LABELS
from realmaster_live.training.evaluate.drives.films import RENDER, Picture
from realmaster_live.training.evaluate.drives.summary import Figure, mean_of, share_of
from realmaster_live.training.evaluate.measures.model_files import OnnxModel
from realmaster_live.training.perception.boxes import Boxes, boxes_of_masks
from realmaster_live.training.perception.groups import COCO, DETECTED, FROM_CARLA

STRIDE = 32  # pixels: what sides are padded to where the network leaves them open
PADDING = 114  # grey, as detectors of the YOLO family are trained with
LEAST_SCORE = 0.4
LEAST_OVERLAP = 0.5  # intersection over union with a labelled box to have found it
MOST_OVERLAP = 0.1  # of an invention with every labelled box
COCO_80 = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 6: "train", 7: "truck"}
COCO_91 = {number + 1: name for number, name in COCO_80.items()}  # the same up to truck
FOUND, WANTED, LOST, IN_RENDER, MORE = (
    "boxes found", "boxes wanted", "boxes lost", "boxes of the render", "boxes invented",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Found:
    """Detections in a picture.

    Attributes:
        corners: (N, 4) left, top, right, bottom, pixels. kinds: (N,) indices into `DETECTED`.
    """

    corners: NDArray[np.float64]
    kinds: NDArray[np.int64]


class Detector:
    """A detector of vehicles, people and two-wheelers, as ONNX.

    It takes (1, 3, H, W), RGB in [0, 1]. Outputs are either `boxes` (N, 4), `labels` (N,) and
    `scores` (N,), as torchvision's detectors have, or one (1, N, 6) of left, top, right, bottom,
    score, class, as Ultralytics' have with their own suppression. Classes are those of the metadata
    `names`, number -> name, or else COCO's.

    Raises:
        ConfigError: the outputs are others.
    """

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._named = {"boxes", "labels", "scores"} <= set(model.outputs)
        if not self._named and len(model.outputs) != 1:
            raise ConfigError(
                "expected a detector with the outputs boxes, labels and scores, or one of "
                f"(1, N, 6), got {', '.join(model.outputs)} in {model.file.path}: export it with "
                "its suppression of doubles"
            )
        names: Mapping[int, str] = COCO_91 if self._named else COCO_80
        if "names" in model.metadata:
            names = {int(n): str(x) for n, x in ast.literal_eval(model.metadata["names"]).items()}
        self._kinds = {
            number: kind
            for number, name in names.items()
            for kind, group in enumerate(DETECTED)
            if name in COCO[group]
        }

    def __call__(self, picture: Picture) -> Found:
        """Return the detections in a picture (H, W, 3)."""
        pixels, scale = self._input(picture)
        outputs = dict(zip(self._model.outputs, self._model(pixels), strict=True))
        if self._named:
            corners, labels, scores = (outputs[name] for name in ("boxes", "labels", "scores"))
        else:
            [rows] = outputs.values()
            if rows.ndim != 3 or rows.shape[2] != 6:
                raise ConfigError(
                    f"expected detections (1, N, 6), got {rows.shape} from "
                    f"{self._model.file.path}: export it with its suppression of doubles"
                )
            corners, scores, labels = rows[0, :, :4], rows[0, :, 4], rows[0, :, 5]
        kinds = np.array([self._kinds.get(int(x), -1) for x in labels], np.int64)
        kept = (kinds >= 0) & (scores >= LEAST_SCORE)
        return Found(corners=corners[kept].astype(np.float64) / scale, kinds=kinds[kept])

    def _input(self, picture: Picture) -> tuple[NDArray[np.float32], float]:
        """Return the pixels (1, 3, H, W), and what the picture was scaled by."""
        height, width = picture.shape[:2]
        size = self._model.size
        scale = 1.0 if size is None else min(size[0] / height, size[1] / width)
        scaled = picture
        if scale != 1.0:
            across, down = max(1, round(width * scale)), max(1, round(height * scale))
            scaled = np.asarray(cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA))
        height, width = scaled.shape[:2]
        tall, wide = size or (height + -height % STRIDE, width + -width % STRIDE)
        padded = np.full((tall, wide, 3), PADDING, np.uint8)
        padded[:height, :width] = scaled
        pixels = padded.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(pixels), scale


@dataclass(kw_only=True)
class DetectedMeasure:
    """Holds films to the labelled boxes by what a detector finds.

    Attributes:
        detector: the network.
    """

    detector: Detector
    _render: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        return (
            Figure(
                name="box recall", group="detector", better="higher", needs=LABELS,
                statistic=share_of(FOUND, WANTED),
                meaning="labelled vehicles and people that the detector finds, by boxes",
            ),
            Figure(
                name="vanished boxes", group="detector", better="lower", needs=LABELS,
                statistic=share_of(LOST, IN_RENDER),
                meaning="share of those it finds in the render that it does not find in the film",
            ),
            Figure(
                name="invented boxes", group="detector", better="lower", needs=LABELS,
                statistic=mean_of(MORE),
                meaning="vehicles and people a frame that it finds where the labels have none",
            ),
        )  # fmt: skip

    def begin(self) -> None:
        """Begin another drive."""

    def __call__(self, film: str, picture: Picture, sample: Sample) -> Mapping[str, float]:
        """Return the columns of a picture; the render's comes first of a frame."""
        labels = sample.labels
        if "semantic" not in labels or "instance" not in labels:
            return {}
        groups = FROM_CARLA[np.asarray(labels["semantic"], np.uint8)]
        wanted = boxes_of_masks(groups, np.asarray(labels["instance"], np.int32))
        found = self.detector(picture)
        hit = hits(found, wanted) & ~wanted.hard
        if film == RENDER:
            self._render = hit
        row = {FOUND: float(hit.sum()), WANTED: float((~wanted.hard).sum())}
        row[MORE] = float((overlaps(found.corners, wanted.corners).max(1, initial=0)
                           < MOST_OVERLAP).sum())  # fmt: skip
        if film != RENDER:
            lost = self._render & ~hit
            row |= {LOST: float(lost.sum()), IN_RENDER: float(self._render.sum())}
        return row


def hits(found: Found, wanted: Boxes) -> NDArray[np.bool_]:  # (M,)
    """Return which labelled boxes a detection of their kind overlaps by half; one box for each."""
    shared = overlaps(found.corners, wanted.corners)
    shared = np.where(found.kinds[:, None] == wanted.kinds[None], shared, 0.0)
    hit = np.zeros(len(wanted), bool)
    while shared.size and shared.max() >= LEAST_OVERLAP:
        one, other = divmod(int(shared.argmax()), shared.shape[1])
        hit[other] = True
        shared[one], shared[:, other] = 0.0, 0.0
    return hit


def overlaps(
    one: NDArray[np.floating],  # (N, 4)
    other: NDArray[np.floating],  # (M, 4)
) -> NDArray[np.float64]:  # (N, M)
    """Return the intersection over union of boxes."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (one, other)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))
