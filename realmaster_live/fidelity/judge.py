"""A small network that predicts classes and relative depth of a picture, as an ONNX file.

The contract of such a file:

- input `image`: (1, 3, H, W) float32, RGB in [0, 1], H and W any multiples of 32.
- output `classes`: (1, K, H/4, W/4) float32, logits of K groups of classes.
- output `log_depth`: (1, 1, H/4, W/4) float32, natural logarithm of metres. Only its order is used.
- metadata `groups`: JSON, an object of K entries in the order of the logits: the group's name ->
  list of CARLA's class numbers in it (`classes.CLASS_NAMES`). No number is in two groups; what is
  in none is not judged. An empty list is a group of "anything else".
- metadata `width`, optional: pixels that wider pictures are scaled down to, 320 where it is absent.

Weights may be float16 inside; inputs and outputs are float32. `embedded` is `judge.onnx` beside
this module.
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
MULTIPLE = 32  # pixels, of the input's sides
STRIDE = 4  # input pixels between output pixels
WIDTH = 320  # pixels: what the shipped one sees best, at a third of the cost of 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a judge predicts for one picture, at a quarter of its width and height.

    Attributes:
        share: (K, h, w) float32, probability of each group.
        log_depth: (h, w) float32, natural logarithm of metres.
    """

    share: NDArray[np.float32]
    log_depth: NDArray[np.float32]


class Judge:
    """A judge's file, opened.

    Attributes:
        groups: name -> CARLA's class numbers, in the order of the logits.
        group_of: (256,) int64, class number -> group, -1 for a class in no group.
        width: pixels that wider pictures are scaled down to.
    """

    def __init__(self, path: Path | str = EMBEDDED_FILE, *, threads: int = 1) -> None:
        """Open a file of the contract above; ConfigError for another."""
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
            got, cure = classify_file(self._path, str(error), remedy)
            raise ConfigError(
                f"expected a judge network in {self._path}, got {got}: {cure}"
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
        raised = np.exp(logits[0] - logits[0].max(0))
        return Prediction(share=raised / raised.sum(0), log_depth=log_depth[0, 0])

    def _read_width(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 10**5):
            raise ConfigError(
                f"expected a judge's metadata 'width' in pixels, got {text[:40]!r} in "
                f"{self._path}: export it so, or leave the judge out"
            )
        return int(text[:9])

    def _read_groups(self, text: str) -> Mapping[str, tuple[int, ...]]:
        """Return the groups; ConfigError where the file does not keep to the contract."""
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
