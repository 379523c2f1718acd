"""Translation frame by frame, as REGEN and HyPER-GAN do it: a network of the user's, in ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from realmaster_live.errors import ConfigError, PairError, reason
from realmaster_live.optional import require
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.fitting import Frames, resized
from realmaster_live.training.pairs.stage import Value


@dataclass(frozen=True, kw_only=True)
class PerframeConfig:
    """Table [perframe].

    Attributes:
        onnx: file of a network (1, 3, H, W) float32 RGB -> the same.
        range: of its values: "-1..1" as GANs have it, or "0..1".
        grid: pixels that the sides of its pictures are multiples of, where they are free.
        frames: most frames of a piece.
    """

    onnx: str = ""
    range: Literal["-1..1", "0..1"] = "-1..1"
    grid: int = 8
    frames: int = 300


class PerFrame:
    """Translates each picture for itself."""

    def __init__(self, config: PerframeConfig) -> None:
        """Take the options; the first piece loads the network."""
        self.config = config
        self._session: Any = None

    def window(self, fps: float) -> int:
        """Return the most frames of a piece."""
        return self.config.frames

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a film."""
        return {
            "onnx": sha256_of(Path(self.config.onnx), error=ConfigError),
            "range": self.config.range,
            "grid": self.config.grid,
        }

    def check(self) -> None:
        """Look for the network and open it."""
        if not self.config.onnx:
            raise ConfigError(
                "expected a network that translates frames, got none: export REGEN's or another's "
                "generator to ONNX and write its path as `onnx` into [perframe]"
            )
        sha256_of(Path(self.config.onnx), error=ConfigError)
        self._open()

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return every frame translated."""
        [given] = self._open().get_inputs()
        frames = resized(piece.frames, self._size(given.shape, piece.size))
        signed = self.config.range == "-1..1"
        made = []
        for frame in frames:
            values = frame.transpose(2, 0, 1)[None].astype(np.float32) / 255
            [answer] = self._session.run(None, {given.name: values * 2 - 1 if signed else values})
            if answer.ndim != 4 or answer.shape[:2] != (1, 3) or not np.isfinite(answer).all():
                raise PairError(
                    f"expected finite pictures (1, 3, H, W) of {self.config.onnx}, got "
                    f"{answer.shape}: export the generator alone, in float32"
                )
            answer = (answer + 1) / 2 if signed else answer
            picture = np.rint(255 * answer[0].clip(0, 1)).astype(np.uint8)
            made.append(picture.transpose(1, 2, 0))
        return np.stack(made)

    def _size(self, shape: list[Any], size: tuple[int, int]) -> tuple[int, int]:
        """Return width and height that the network takes, nearest to the render's."""
        height, width = shape[2:]
        near = [max(1, round(side / self.config.grid)) * self.config.grid for side in size]
        return (
            width if isinstance(width, int) else near[0],
            height if isinstance(height, int) else near[1],
        )

    def _open(self) -> Any:
        """Return the network; ConfigError where the file holds no such one."""
        if self._session is None:
            runtime = require("onnxruntime", extra="live")
            try:
                session = runtime.InferenceSession(
                    self.config.onnx, providers=runtime.get_available_providers()
                )
            except Exception as error:  # the runtime's errors share no class with each other
                raise ConfigError(
                    f"expected a network in {self.config.onnx}, got {reason(error)[:160]}: export "
                    "it to ONNX again"
                ) from error
            shapes = [each.shape for each in session.get_inputs()]
            if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3:
                raise ConfigError(
                    f"expected one input (1, 3, H, W) of {self.config.onnx}, got {shapes}: export "
                    "the generator alone, which sees the picture and no buffers"
                )
            self._session = session
        return self._session


def make(config: PerframeConfig) -> PerFrame:
    """Return the method."""
    return PerFrame(config)
