"""`realmaster build`: TensorRT plans of a checkpoint, checked against ONNX Runtime."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from realmaster_live.cli.values import Count, Flag
from realmaster_live.optional import require


@dataclass(frozen=True, kw_only=True)
class Build:
    """Compile a checkpoint to TensorRT plans.

    Attributes:
        checkpoint: The folder of a model.
        out: Folder for the plans, their graphs and what they are checked by.
        size: Size of the pictures, such as 832x480.
        profile: Refuse a checkpoint of another profile than this.
        steps: Denoising steps of a chunk: 1, 2 or 4. Without it, the model's own.
        adapter: Merge this LoRA file first, with this strength. This may be repeated.
        precision: Precision of products; norms, rotations and the time embedder stay in float32.
        compiler: The compiler. Without it, tensorrt where there is a GPU, else tensorrt_rtx.
    """

    checkpoint: Annotated[Path, Flag(metavar="DIR")]
    out: Annotated[Path, Flag(metavar="DIR")]
    size: tuple[int, int]
    profile: Annotated[str | None, Flag(metavar="NAME")] = None
    steps: Count | None = None
    adapter: Annotated[tuple[tuple[Path, float], ...], Flag(formerly="lora")] = ()
    precision: Literal["bf16", "fp32"] = "bf16"
    compiler: Literal["tensorrt", "tensorrt_rtx"] | None = None


def run(options: Build) -> int:
    """Build, with a line about each step."""
    for module in ("torch", "onnx", "onnxruntime", "safetensors"):
        require(module, extra="training")
    from realmaster_live.engines.tensorrt.build import Request, build

    started = time.monotonic()

    def report(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {line}\n")
        sys.stdout.flush()

    width, height = options.size
    request = Request(
        checkpoint=options.checkpoint,
        out=options.out,
        width=width,
        height=height,
        steps=options.steps,
        profile=options.profile,
        loras=options.adapter,
        precision=options.precision,
        compiler=options.compiler,
    )
    manifest = build(request, report)
    sizes = [manifest["files"][name]["bytes"] for name in manifest["plans"].values()]
    sys.stdout.write(
        f"{options.out}: {len(sizes)} plans, {sum(sizes) / 2**20:.1f} MiB; "
        f"plans.json describes them\n"
    )
    return 0
