"""Whether faces are still the same people: ArcFace, with models that the user brings.

Faces are found in source and made frame, matched by overlap, aligned, and compared as ArcFace
sees them (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019).

Legend: N faces of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.training.pairs.people import faces_of_people

SIDE = 112  # pixels of ArcFace's input
# where eyes, nose and mouth corners lie in it, left to right in the picture: the places that
# ArcFace's published training crops have
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
LEAST_OVERLAP = 0.3  # intersection over union of a face in source and made frame
LEAST_SCORE = 0.7  # of a detection


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Faces:
    """What a detector found in a picture.

    Attributes:
        boxes: (N, 4) left, top, width, height, pixels.
        landmarks: (N, 5, 2) eyes, nose and mouth corners, left to right in the picture, pixels.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def of_size(self, least_px: float) -> Faces:
        """Return the faces whose shorter side has at least so many pixels."""
        return self.select(self.boxes[:, 2:].min(1) >= least_px)

    def select(self, chosen: NDArray[np.bool_]) -> Faces:  # (N,)
        """Return the faces that a mask selects."""
        return Faces(boxes=self.boxes[chosen], landmarks=self.landmarks[chosen])


class Detector(Protocol):
    """Finds faces."""

    def __call__(self, picture: NDArray[np.uint8]) -> Faces:  # (H, W, 3) RGB
        """Return the faces of a picture."""


class Recogniser(Protocol):
    """Embeds faces."""

    def __call__(
        self,
        crop: NDArray[np.uint8],  # (112, 112, 3) RGB, upright
    ) -> NDArray[np.float32]:
        """Return the embedding, a vector of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How well the identity of people is preserved.

    Attributes:
        faces: in the source's frames. missed: those without a match in the made clip.
        similarity: mean cosine of the others with their match; 1 where there is none.
    """

    faces: int
    missed: int
    similarity: float


def compare(
    source: NDArray[np.uint8],  # (T, H, W, 3) RGB
    made: NDArray[np.uint8],  # (T, H, W, 3) RGB
    detect: Detector,
    recognise: Recogniser,
    *,
    least_px: float,
    people: NDArray[np.bool_] | None = None,  # (T, H, W)
) -> Identity:
    """Compare the faces of a source with those of the made clip.

    Faces below `least_px` in the source are left out, and so are those outside `people` where the
    labels mark them; in the made clip faces of any size count.
    """
    faces, similarities = 0, []
    for index, (before, after) in enumerate(zip(source, made, strict=True)):
        known, found = detect(before).of_size(least_px), detect(after)
        if people is not None:
            known = known.select(faces_of_people(known.boxes, people[index]))
        faces += len(known.boxes)
        for one, other in match_boxes(known.boxes, found.boxes):
            left = recognise(upright(before, known.landmarks[one]))
            right = recognise(upright(after, found.landmarks[other]))
            similarities.append(float(left @ right))
    mean = float(np.mean(similarities)) if similarities else 1.0
    return Identity(faces=faces, missed=faces - len(similarities), similarity=mean)


def match_boxes(
    boxes: NDArray[np.float32],  # (N, 4) left, top, width, height
    others: NDArray[np.float32],  # (M, 4)
) -> list[tuple[int, int]]:
    """Return pairs of boxes that overlap, the best overlap first, each box once."""
    if not len(boxes) or not len(others):
        return []
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(
        boxes[:, None, :2] + boxes[:, None, 2:], others[None, :, :2] + others[None, :, 2:]
    )
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = np.prod(boxes[:, 2:], 1)[:, None] + np.prod(others[:, 2:], 1)[None]
    overlap = shared / np.maximum(areas - shared, 1e-6)
    pairs = []
    while overlap.max() >= LEAST_OVERLAP:
        one, other = divmod(int(overlap.argmax()), len(others))
        pairs.append((one, other))
        overlap[one], overlap[:, other] = 0, 0
    return pairs


def upright(
    picture: NDArray[np.uint8],  # (H, W, 3) RGB
    landmarks: NDArray[np.float32],  # (5, 2)
) -> NDArray[np.uint8]:
    """Return a face as ArcFace expects it, (112, 112, 3).

    Turned, scaled and moved to its template by least squares (Umeyama, "Least-Squares Estimation of
    Transformation Parameters Between Two Point Patterns", 1991): in the plane, the four parameters
    of x' = a x - b y + c, y' = b x + a y + d are linear.
    """
    x, y = landmarks.astype(np.float64).T
    one, none = np.ones_like(x), np.zeros_like(x)
    system = np.concatenate((np.stack((x, -y, one, none), 1), np.stack((y, x, none, one), 1)))
    (a, b, c, d), *_ = np.linalg.lstsq(system, TEMPLATE.T.reshape(-1), rcond=None)
    matrix = np.array([[a, -b, c], [b, a, d]])
    return np.asarray(cv2.warpAffine(picture, matrix, (SIDE, SIDE)), np.uint8)


class YuNet:
    """Finds faces by OpenCV's FaceDetectorYN.

    After Wu et al., "YuNet: A Tiny Millisecond-level Face Detector" (2023).

    Args:
        path: the ONNX file of the detector.
    """

    def __init__(self, path: Path) -> None:
        _must_exist(path, "face_model", "face_detection_yunet_2023mar.onnx of OpenCV's model zoo")
        self.network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), LEAST_SCORE)

    def __call__(self, picture: NDArray[np.uint8]) -> Faces:
        """Return the faces of a picture (H, W, 3)."""
        height, width = picture.shape[:2]
        self.network.setInputSize((width, height))
        _, found = self.network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        rows = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        return Faces(boxes=rows[:, :4], landmarks=rows[:, 4:14].reshape(-1, 5, 2))


class ArcFace:
    """Embeds faces by an ONNX graph that takes (1, 3, 112, 112) and gives (1, D).

    Args:
        path: the ONNX file.
    """

    def __init__(self, path: Path) -> None:
        _must_exist(path, "identity_model", "an ArcFace or AdaFace network as ONNX")
        runtime = require("onnxruntime", extra="live")
        self.session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the vector of an upright face (112, 112, 3)."""
        pixels = (crop.astype(np.float32) - 127.5) / 127.5
        (vectors,) = self.session.run(None, {self.input: pixels.transpose(2, 0, 1)[None]})
        vector = np.asarray(vectors[0], np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _must_exist(path: Path, key: str, what: str) -> None:
    if not path.is_file():
        raise ConfigError(
            f"expected a model at {path}, got no file: give {what} as {key} in [gate], or leave "
            f"{key} out"
        )
