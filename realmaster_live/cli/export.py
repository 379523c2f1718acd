"""`realmaster export`: a checkpoint, alone or with a LoRA, in the forms that others read.

`--to onnx` (the default) writes the graphs that run without torch; `checkpoint` writes a checkpoint
with the LoRA merged; `lora` writes the LoRA in the key schemes of diffusers, ComfyUI and musubi.
Several forms, with commas between, go into folders of their names.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realmaster_live.errors import BuildError, PairError
from realmaster_live.optional import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realmaster_live.engines.export.quantize import Sample


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="realmaster export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="the folder that training wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--adapter", type=Path, metavar="FILE", help="a LoRA for the checkpoint")
    parser.add_argument(
        "--strength", type=float, default=1.0, help="of the LoRA where it is merged (default: 1)"
    )
    parser.add_argument(
        "--to",
        default="onnx",
        metavar="FORMS",
        help="checkpoint, lora, onnx, or several with commas between (default: onnx)",
    )
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
    from realmaster_live.engines.export.export import export
    from realmaster_live.training.distillation.networks import Teacher
    from realmaster_live.training.export import export_forms, parse_forms

    logging.basicConfig(format="%(message)s")
    logging.getLogger("realmaster_live").setLevel(logging.INFO)  # and nobody else's
    clips = read_clips(options.calibrate) if options.calibrate else ()
    to_onnx = partial(export, precision=options.precision, calibrate=clips)
    forms = parse_forms(options.to)
    manifest: dict[str, Any] | None
    if forms == ("onnx",) and options.adapter is None:
        manifest = to_onnx(options.checkpoint, options.out)
    else:
        source = Teacher(base=options.checkpoint, adapter=options.adapter)
        manifest = export_forms(
            source, options.out, forms, strength=options.strength, to_onnx=to_onnx
        )
    parity = manifest["parity"] if manifest else {}
    for name, value in parity.items():
        if name.startswith("int8."):
            sys.stdout.write(f"{name.removeprefix('int8.')}: {value:g}\n")
    sys.stdout.write("".join(f"{line}\n" for line in written(options.out, forms)))
    return 0


def written(out: Path, forms: Sequence[str]) -> list[str]:
    """Return a line for each form: its folder, its files and their size."""
    lines = []
    for form in forms:
        folder = out / form if len(forms) > 1 else out
        sizes = [path.stat().st_size for path in folder.iterdir() if path.is_file()]
        lines.append(f"{folder}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB")
    return lines


def read_clips(path: Path) -> Sequence[Sample]:
    """Return the training clips of a folder, or else those that validate, or a file's frames."""
    from realmaster_live.engines.export.quantize import Rendered
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
