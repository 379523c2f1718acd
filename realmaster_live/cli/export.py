"""`realmaster export`: the graphs of a checkpoint, which run without torch."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realmaster_live.errors import BuildError, PairError
from realmaster_live.optional import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realmaster_live.engines.quantize import Sample


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="realmaster export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="the folder that training wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--precision",
        choices=("float16", "int8"),
        default="float16",
        help="float16 weights, computed in float32; or int8: half the file, faster on CPUs, and "
        "slightly other pictures (default: float16)",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="PAIRS",
        help="for int8: a folder of pairs, whose training clips are used, or frames (T, H, W, 3) "
        "uint8 in a .npy",
    )
    options = parser.parse_args(arguments)
    if (options.precision == "int8") != (options.calibrate is not None):
        parser.error("expected --calibrate PAIRS with --precision int8, got one of them: give both")
    for module in ("torch", "onnx", "onnxruntime", "safetensors"):
        require(module, extra="training")
    from realmaster_live.engines.export import export

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    clips = read_clips(options.calibrate) if options.calibrate else ()
    manifest = export(options.checkpoint, options.out, precision=options.precision, calibrate=clips)
    for name, value in manifest["parity"].items():
        if name.startswith("int8."):
            sys.stdout.write(f"{name.removeprefix('int8.')}: {value:g}\n")
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    sys.stdout.write(f"{options.out}: {len(manifest['files'])} files, {size / 2**20:.1f} MiB\n")
    return 0


def read_clips(path: Path) -> Sequence[Sample]:
    """Return the training clips of a folder, or else those that validate, or a file's frames."""
    from realmaster_live.engines.quantize import Rendered
    from realmaster_live.training.data import find_clips

    if path.is_dir():
        try:
            return find_clips(path, "training")
        except PairError:
            return find_clips(path, "validation")
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BuildError(
            f"expected a folder of pairs or a .npy at {path}, got {error}: give one of them"
        ) from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise BuildError(
            f"expected frames (T, H, W, 3) uint8 in {path}, got {frames.shape} {frames.dtype}: "
            "save RGB pictures as bytes"
        )
    return [Rendered(sim=frames)]
