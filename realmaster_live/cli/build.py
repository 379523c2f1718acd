"""`realmaster build`: TensorRT plans of a checkpoint, checked against ONNX Runtime."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag
from realmaster_live.engines.tensorrt.request import BuildRequest
from realmaster_live.optional import require


@dataclass(frozen=True, kw_only=True)
class Build(BuildRequest):
    """Compile a checkpoint to TensorRT plans."""

    adapter: Annotated[tuple[tuple[Path, float], ...], Flag(formerly="lora")] = ()


def run(options: Build) -> int:
    """Build, with a line about each step."""
    for module in ("torch", "onnx", "onnxruntime", "safetensors"):
        require(module, extra="training")
    from realmaster_live.engines.tensorrt.build import build

    started = time.monotonic()

    def report(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {line}\n")
        sys.stdout.flush()

    manifest = build(options, report)
    sizes = [manifest["files"][name]["bytes"] for name in manifest["plans"].values()]
    sys.stdout.write(
        f"{options.out}: {len(sizes)} plans, {sum(sizes) / 2**20:.1f} MiB; "
        f"plans.json describes them\n"
    )
    return 0
