"""Files of networks that the user brings, named with their hash.

Legend: B pictures, H W pixels, C features.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.system.contents import classify_file, sha256_of

PINNED = re.compile(r"(?P<path>.+)@sha256=(?P<hash>[0-9a-fA-F]{8,64})")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of a network.

    Attributes:
        path: where it is. sha256: of its bytes.
    """

    path: Path
    sha256: str

    @classmethod
    def of(cls, text: str, flag: str) -> ModelFile:
        """Return the file that text names: PATH, or PATH@sha256=HASH where it must be that one.

        Raises:
            ConfigError: it is not there, or its hash does not begin as said.
        """
        pinned = PINNED.fullmatch(text)
        path = Path(pinned["path"] if pinned else text)
        if not path.is_file():
            raise ConfigError(f"expected a file for {flag}, got {path}, which is none: check it")
        found = sha256_of(path, error=ConfigError)
        if pinned and not found.startswith(pinned["hash"].lower()):
            raise ConfigError(
                f"expected {path} with the SHA-256 {pinned['hash'].lower()}, got {found}: fetch "
                "the file again, or give the hash of the one that you mean"
            )
        return cls(path=path, sha256=found)

    def __str__(self) -> str:
        """Return the name and the hash, as reports state them."""
        return f"{self.path.name}, SHA-256 {self.sha256[:16]}"


class OnnxModel:
    """An ONNX file of one input that takes pictures.

    Args:
        file: the network. threads: of the processor.

    Raises:
        ConfigError: it is no such file.
    """

    def __init__(self, file: ModelFile, *, threads: int = 1) -> None:
        runtime = require("onnxruntime", extra="live")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.file = file
        try:
            self._session = runtime.InferenceSession(
                str(file.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no public base class
            got, advice = classify_file(file.path, str(error), "export it as ONNX")
            raise ConfigError(f"expected a network in {file.path}, got {got}: {advice}") from error
        [entry, *others] = self._session.get_inputs()
        if others or len(entry.shape) != 4:
            raise ConfigError(
                f"expected a network of one input (B, 3, H, W) in {file.path}, got "
                f"{[each.shape for each in self._session.get_inputs()]}: export it so"
            )
        self._input = entry.name
        self.takes_one = entry.shape[0] == 1
        sides = entry.shape[2:]
        self.size: tuple[int, int] | None = None  # height and width, where they are fixed
        if all(isinstance(side, int) for side in sides):
            self.size = sides[0], sides[1]
        self.outputs = tuple(each.name for each in self._session.get_outputs())
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, pixels: NDArray[np.float32]) -> list[NDArray[Any]]:  # (B, 3, H, W)
        """Return all outputs.

        Raises:
            ConfigError: the network cannot take pictures of this size.
        """
        try:
            found: list[NDArray[Any]] = self._session.run(None, {self._input: pixels})
        except Exception as error:
            raise ConfigError(
                f"expected {self.file.path} to take pictures as {pixels.shape}, got "
                f"{' '.join(str(error).split())[:200]}: export it for such pictures"
            ) from error
        return found


def normalised(
    pictures: NDArray[np.uint8],  # (B, H, W, 3)
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> NDArray[np.float32]:  # (B, 3, H, W)
    """Return pictures in [0, 1] less `mean` over `std`, by channel."""
    low, spread = (np.array(each, np.float32) for each in (mean, std))
    scaled = (pictures.astype(np.float32) / 255 - low) / spread
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
