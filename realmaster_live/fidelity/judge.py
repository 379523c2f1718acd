"""A small network that predicts classes and relative depth of a picture, as an ONNX file.

The contract of such a file:

- input `image`: (1, 3, H, W) float32, RGB in [0, 1], H and W any multiples of 32.
- output `classes`: (1, K, H/4, W/4) float32, logits of K groups of classes.
- output `log_depth`: (1, 1, H/4, W/4) float32, natural logarithm of metres. Only its order is used.
- metadata `groups`: a JSON object of K entries in the order of the logits: the group's name -> list
  of CARLA's class numbers in it (`classes.CLASS_NAMES`). No number is in two groups; classes in no
  group are not judged. A group with an empty list stands for everything else.
- metadata `width`, optional: the width in pixels that wider pictures are scaled down to (320).

Weights may be float16; inputs and outputs are float32. `embedded` is `judge.onnx` beside this
module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.optional import require
from realmaster_live.system.contents import classify_file
from realmaster_live.system.texts import parse_json

EMBEDDED_FILE = Path(__file__).parent / "judge.onnx"
INPUT, OUTPUTS = "image", ("classes", "log_depth")
MULTIPLE = 32  # pixels: the input's sides are multiples of it
STRIDE = 4  # input pixels between output pixels
WIDTH = 320  # pixels: the best width for the shipped judge, at a third of the cost of 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A judge's prediction for a picture, at a quarter of its width and height.

    Attributes:
        share: (K, h, w) float32, probability of each group.
        log_depth: (h, w) float32, natural logarithm of metres.
    """

    share: NDArray[np.float32]
    log_depth: NDArray[np.float32]


class Judge:
    """A judge network, opened from its file.

    Attributes:
        groups: name -> CARLA's class numbers, in the order of the logits.
        group_of: (256,) int64, group of each class number, -1 for a class in no group.
        width: width in pixels that wider pictures are scaled down to.
    """

    def __init__(self, path: Path | str = EMBEDDED_FILE, *, threads: int = 1) -> None:
        """Open a file that follows the contract above; ConfigError for any other file."""
        runtime = require("onnxruntime", extra="live")
        self._path = Path(path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                str(self._path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no public base class
            remedy = "give an ONNX file, or leave the judge out"
            got, advice = classify_file(self._path, str(error), remedy)
            raise ConfigError(
                f"expected a judge network in {self._path}, got {got}: {advice}"
            ) from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.groups = self._read_groups(metadata.get("groups", "{}"))
        self.width = self._read_width(metadata.get("width", str(WIDTH)))
        self.group_of = np.full(256, -1)
        for place, numbers in enumerate(self.groups.values()):
            self.group_of[list(numbers)] = place

    def predict(self, picture: NDArray[np.uint8]) -> Prediction:  # (H, W, 3) RGB
        """Return the prediction for a picture, scaled to the judge's width and multiples of 32."""
        scale = min(1.0, self.width / picture.shape[1])
        sides = [max(1, round(scale * side / MULTIPLE)) * MULTIPLE for side in picture.shape[:2]]
        if list(picture.shape[:2]) != sides:
            picture = np.asarray(
                cv2.resize(picture, sides[::-1], interpolation=cv2.INTER_AREA), np.uint8
            )
        image = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        logits, log_depth = self._session.run(list(OUTPUTS), {INPUT: image})
        exponentials = np.exp(logits[0] - logits[0].max(0))
        return Prediction(share=exponentials / exponentials.sum(0), log_depth=log_depth[0, 0])

    def _read_width(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 10**5):
            raise ConfigError(
                f"expected a judge's metadata 'width' in pixels, got {text[:40]!r} in "
                f"{self._path}: export it so, or leave the judge out"
            )
        return int(text[:9])

    def _read_groups(self, text: str) -> Mapping[str, tuple[int, ...]]:
        """Return the groups; ConfigError if the file does not follow the contract."""
        inputs = [each.name for each in self._session.get_inputs()]
        outputs = {each.name: each.shape for each in self._session.get_outputs()}
        try:
            groups = {
                str(name): tuple(map(int, ids)) for name, ids in parse_json(text.encode()).items()
            }
        except (ValueError, TypeError, AttributeError, OverflowError):
            groups = {}
        numbers = [number for ids in groups.values() for number in ids]
        known = len(set(numbers)) == len(numbers) and all(
            0 <= number < len(CLASS_NAMES) for number in numbers
        )
        if inputs != [INPUT] or not set(OUTPUTS) <= set(outputs) or not numbers or not known:
            raise ConfigError(
                f"expected a judge with input {INPUT!r}, outputs {' and '.join(OUTPUTS)} and "
                f"metadata 'groups' of class numbers, each once, got {inputs}, {list(outputs)} and "
                f"{text[:200]!r} in {self._path}: export it so, or leave the judge out"
            )
        count = outputs["classes"][1]
        if isinstance(count, int) and count != len(groups):
            raise ConfigError(
                f"expected as many groups as logits, got {len(groups)} for {count} in "
                f"{self._path}: correct the metadata 'groups'"
            )
        return groups
