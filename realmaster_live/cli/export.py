"""`realmaster export`: a checkpoint, alone or with a LoRA, in the forms that others read."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from realmaster_live.cli.values import Flag
from realmaster_live.errors import BuildError, ConfigError, PairError
from realmaster_live.optional import require
from realmaster_live.system.contents import classify_file

if TYPE_CHECKING:
    from realmaster_live.engines.export.quantize import Sample


def read_clips(path: Path) -> Sequence[Sample]:
    """Return the training clips of a folder, or else those that validate, or a file's frames."""
    import numpy as np

    from realmaster_live.engines.export.quantize import Rendered
    from realmaster_live.training.data import find_clips

    if path.is_dir():
        try:
            return find_clips(path, "training")
        except PairError:
            return find_clips(path, "validation")
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        got, remedy = classify_file(path, str(error), "give one of them")
        raise BuildError(
            f"expected a folder of pairs or a .npy at {path}, got {got}: {remedy}"
        ) from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise BuildError(
            f"expected frames (T, H, W, 3) uint8 in {path}, got {frames.shape} {frames.dtype}: "
            "save RGB pictures as bytes"
        )
    return [Rendered(sim=frames)]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Turn a checkpoint into the graphs that run without torch, or into forms that others read.

    The form onnx is the graphs that run without torch; checkpoint is a checkpoint with the LoRA
    merged; lora is the LoRA with the key names of diffusers, ComfyUI and musubi. Several forms,
    with commas between them, go into folders of their names.

    Attributes:
        checkpoint: The folder that training wrote.
        out: Folder for what is written.
        adapter: A LoRA for the checkpoint.
        strength: Strength of the LoRA where it is merged.
        to: The forms: onnx, checkpoint, lora, or several with commas between them.
        precision: Precision of the weights. float16 computes in float32; int8 halves the file, is
            faster on CPUs, and gives slightly different pictures; it needs --calibrate.
        calibrate: Clips by which int8 is calibrated: a folder of pairs, whose training clips are
            used, or a .npy file of frames (T, H, W, 3) uint8.
    """

    checkpoint: Annotated[Path, Flag(positional=True)]
    out: Annotated[Path, Flag(metavar="DIR")]
    adapter: Annotated[Path | None, Flag(metavar="FILE")] = None
    strength: float = 1.0
    to: Annotated[str, Flag(metavar="FORM,...")] = "onnx"
    precision: Literal["float16", "int8"] = "float16"
    calibrate: Annotated[Path | None, Flag(metavar="DIR|FILE.npy")] = None


def run(options: Export) -> int:
    """Export, and print what was written."""
    if (options.precision == "int8") != (options.calibrate is not None):
        raise ConfigError(
            "expected --calibrate with --precision int8, got one of them: give both or neither"
        )
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
