"""`realmaster build`: TensorRT plans of a checkpoint, checked against ONNX Runtime."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from realmaster_live.cli.export import read_clips
from realmaster_live.cli.options import size
from realmaster_live.optional import require


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `build`."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="the folder of a model")
    parser.add_argument("--profile", metavar="NAME", help="refuse a checkpoint of another profile")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for all files")
    parser.add_argument("--size", type=size, required=True, metavar="WxH", help="e.g. 832x480")
    parser.add_argument("--steps", type=int, metavar="N", help="denoise steps: 1, 2 or 4")
    parser.add_argument(
        "--lora",
        type=lora,
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="merge a LoRA file first; may be repeated",
    )
    parser.add_argument(
        "--precision",
        type=precision,
        default="bf16",
        metavar="bf16|fp32|fp8",
        help="of products; norms, rotations and the time embedder are float32. fp8: linear layers "
        "of the blocks in E4M3, the rest as in bf16; needs --calibrate (default: bf16)",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="PAIRS|FRAMES.npy",
        help="for fp8: a folder of pairs, whose training clips are used, or frames (T, H, W, 3) "
        "uint8 in a .npy",
    )
    parser.add_argument(
        "--refit", action="store_true", help="let weights be exchanged later; bf16, needs the GPU"
    )
    parser.add_argument(
        "--compiler",
        choices=("tensorrt", "tensorrt_rtx"),
        help="default: tensorrt where a GPU is, else tensorrt_rtx",
    )


def lora(text: str) -> tuple[Path, float]:
    """Return path and strength of text such as snow.safetensors:0.8."""
    name, colon, number = text.rpartition(":")
    if not colon:
        return Path(text), 1.0
    try:
        return Path(name), float(number)
    except ValueError:
        return Path(text), 1.0


def precision(text: str) -> str:
    """Return bf16, fp32 or fp8."""
    if text not in ("bf16", "fp32", "fp8"):
        raise argparse.ArgumentTypeError(f"expected bf16, fp32 or fp8, got {text!r}")
    return text


def run(options: argparse.Namespace) -> int:
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
        loras=tuple(options.lora),
        precision=options.precision,
        calibrate=read_clips(options.calibrate) if options.calibrate else (),
        refit=options.refit,
        compiler=options.compiler,
    )
    manifest = build(request, report)
    sizes = [manifest["files"][name]["bytes"] for name in manifest["plans"].values()]
    sys.stdout.write(
        f"{options.out}: {len(sizes)} plans, {sum(sizes) / 2**20:.1f} MiB; "
        f"plans.json says what they are for\n"
    )
    return 0
