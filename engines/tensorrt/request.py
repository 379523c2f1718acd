"""What to build: the options of `realmaster build`; light, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build.

    Attributes:
        checkpoint: The folder of a model.
        out: Folder for the plans, their graphs and what they are checked by.
        size: Size of the pictures, such as 832x480.
        graphs: The ONNX graphs of this checkpoint, as export --to onnx wrote them. Without it, they
            are exported first.
        profile: Refuse a checkpoint of another profile than this.
        steps: Denoising steps of a chunk: 1, 2 or 4. Without it, the model's own.
        adapter: Merge this LoRA file first, with this strength. This may be repeated.
        precision: Precision of products; norms, rotations and the time embedder stay in float32.
        compiler: The compiler. Without it, tensorrt where there is a GPU, else tensorrt_rtx.
    """

    checkpoint: Path
    out: Path
    size: tuple[int, int]
    graphs: Path | None = None
    profile: str | None = None
    steps: int | None = None
    adapter: tuple[tuple[Path, float], ...] = ()
    precision: Literal["bf16", "fp32"] = "bf16"
    compiler: Literal["tensorrt", "tensorrt_rtx"] | None = None

    @property
    def width(self) -> int:
        """Pixels."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.size[1]
