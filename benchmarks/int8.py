"""The embedded model in int8: its speed on this CPU, its size, and its loss of quality.

Run `python benchmarks/int8.py --pairs DIR` (what `realmaster pairs render` wrote). Every variant
is a whole model folder made from a float16 export, by default the shipped one; all variants realize
the same held-out chunks in turn, in one run, so that the ratios do not depend on what else the
machine does. Layers that compute in integers are calibrated on training clips. `--keep DIR` leaves
the folders there, for `realmaster evaluate --engine DIR/NAME`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.export.quantize import (
    LAST,
    Graphs,
    calibration_inputs,
    choose,
    quantize_convolutions,
    quantize_products,
)
from realmaster_live.engines.export.restore import restore
from realmaster_live.engines.manifest import PROMPT_PAIRS_FILE
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.training.data import Clip, find_clips
from realmaster_live.training.evaluate.metrics import psnr
from realmaster_live.training.evaluate.pictures import as_chunk

SIZES = ((384, 224), (512, 288))
GRAPHS = ("encode", "context", "denoise", "decode")
SMALL = 1024  # initializers with fewer values stay as they are

Frames = NDArray[np.uint8]  # (T, H, W, 3)


def plain(path: Path) -> onnx.ModelProto:
    """Return a shipped graph with its float16 weights as float32 initializers of its own."""
    model = onnx.load(path)
    halves = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            values = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        else:
            nodes.append(node)
    kept = [t for t in model.graph.initializer if t.name not in halves]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    return model


def channel_axes(model: onnx.ModelProto) -> dict[str, int]:
    """Return weight -> the axis of its output channels: 0 of a Conv, the last of a MatMul."""
    axes = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm") and len(node.input) > 1:
            axes[node.input[1]] = 0 if node.op_type == "Conv" else -1
    return axes


def store(model: onnx.ModelProto, *, keep: re.Pattern[str] | None) -> None:
    """Store large weights as int8 a channel, symmetric; what matches `keep` as float16.

    A Cast and a product with the scales give float32 back, and the runtime folds both when it
    loads the graph: the work of a chunk stays the same.
    """
    axes, graph = channel_axes(model), model.graph
    initializers, nodes = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < SMALL:
            initializers.append(tensor)
            continue
        if tensor.name not in axes or (keep is not None and keep.search(tensor.name)):
            name = f"{tensor.name}.half"
            initializers.append(numpy_helper.from_array(values.astype(np.float16), name))
            nodes.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
            continue
        others = tuple(i for i in range(values.ndim) if i != axes[tensor.name] % values.ndim)
        scales = np.abs(values).max(others, keepdims=True) / 127.0
        scales = np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32)
        levels = np.clip(np.rint(values / scales), -127, 127).astype(np.int8)
        parts = {"levels": levels, "scales": scales}
        for kind, array in parts.items():
            initializers.append(numpy_helper.from_array(array, f"{tensor.name}.{kind}"))
        names = [f"{tensor.name}.{kind}" for kind in ("levels", "wide", "scales")]
        nodes += [
            helper.make_node("Cast", [names[0]], [names[1]], to=TensorProto.FLOAT),
            helper.make_node("Mul", [names[1], names[2]], [tensor.name]),
        ]
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)


def write_model(model: Path, folder: Path, graphs: Graphs) -> Path:
    """Write a model folder: the manifest and prompts of `model` with these graphs."""
    folder.mkdir(exist_ok=True)
    manifest = json.loads((model / "manifest.json").read_text())
    if manifest.get("prompts"):
        shutil.copy(model / PROMPT_PAIRS_FILE, folder)
    manifest["precision"] = "int8" if folder.name.startswith("int8") else "float16"
    manifest["files"] = {n: f for n, f in manifest["files"].items() if n == PROMPT_PAIRS_FILE}
    for name, model in graphs.items():
        path = folder / f"{name}.onnx"
        onnx.save(model, path)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][path.name] = {"sha256": digest, "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model folder, and the bytes of its weights in one file with float16 instead of float32."""

    folder: Path
    weight_bytes: int


def distinct_bytes(models: Graphs) -> int:
    """Return the bytes of all distinct large initializers: what one shared file would hold.

    What is float32 here is stored as float16.
    """
    sizes: dict[str, int] = {}
    for model in models.values():
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.size >= SMALL:
                size = 2 * values.size if values.dtype == np.float32 else values.nbytes
                sizes[hashlib.sha256(values.tobytes()).hexdigest()] = size
    return sum(sizes.values())


def build(model: Path, pairs: Path, root: Path, *, compute: bool) -> dict[str, Variant]:
    """Return the variants by name, the shipped precision first."""

    def load() -> Graphs:
        return {name: plain(model / f"{name}.onnx") for name in GRAPHS}

    def made(name: str, graphs: Graphs) -> Variant:
        folder = write_model(model, root / name.replace(" ", "-").replace(",", ""), graphs)
        return Variant(folder=folder, weight_bytes=distinct_bytes(graphs))

    variants = {"float32": made("float32", load())}
    stored: list[tuple[str, re.Pattern[str] | None]] = [
        ("weights int8", None),
        ("weights int8, last layers float16", LAST),
        ("weights int8, decoder float16", re.compile(r"decoder\.")),
    ]
    for name, keep in stored:
        graphs = load()
        for graph in graphs.values():
            store(graph, keep=keep)
        variants[name] = made(name, graphs)
    if not compute:
        return variants
    exact = load()
    clips = choose(find_clips(pairs, "training"))
    _, transformer = restore(model)
    inputs = calibration_inputs(exact["encode"], exact["decode"], clips, transformer)
    products = {name: quantize_products(exact[name]) for name in ("context", "denoise")}
    encode = quantize_convolutions(exact["encode"], inputs["encode"])
    decode = quantize_convolutions(exact["decode"], inputs["decode"], keep=None)
    partly = quantize_convolutions(exact["decode"], inputs["decode"])
    changes: dict[str, Graphs] = {
        "int8 transformer": products,
        "int8 encoder": {"encode": encode},
        "int8 decoder": {"decode": decode},
        "int8 decoder, last layers float32": {"decode": partly},
        "int8 all": {**products, "encode": encode, "decode": decode},
        "int8 all, last layers float32": {**products, "encode": encode, "decode": partly},
    }
    for name, changed in changes.items():
        variants[name] = made(name, {**exact, **changed})
    return variants


def middle(frames: Frames, width: int, height: int) -> Frames:
    """Return the middle of pictures."""
    top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    return np.ascontiguousarray(frames[:, top : top + height, left : left + width])


def realize(
    engines: Mapping[str, OnnxEngine], clips: Sequence[Clip], width: int, height: int
) -> tuple[dict[str, list[Frames]], list[Frames], dict[str, list[float]]]:
    """Return every engine's frames, the truth's, and every engine's milliseconds of a chunk."""
    made: dict[str, list[Frames]] = {name: [] for name in engines}
    taken: dict[str, list[float]] = {name: [] for name in engines}
    truth = []
    for clip in clips:
        for engine in engines.values():
            engine.reset()
        for index in range(len(clip) // 4):
            part = slice(4 * index, 4 * index + 4)
            truth.append(middle(clip.truth[part], width, height))
            chunk = as_chunk(middle(clip.sim[part], width, height), index, part.start, 20.0)
            for name, engine in engines.items():
                began = time.perf_counter()
                made[name].append(engine.realize(chunk).frames.copy())
                taken[name].append(1e3 * (time.perf_counter() - began))
    return made, truth, taken


def mean_psnr(left: Sequence[Frames], right: Sequence[Frames]) -> float:
    """Return the mean over all frames, dB."""
    return statistics.fmean(value for a, b in zip(left, right, strict=True) for value in psnr(a, b))


def show(print_line: Callable[[str], object], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of a size."""
    print_line(
        f"{'':36}{'chunk ms':>9}{'float32/it':>11}{'truth dB':>9}"
        f"{'lost':>7}{'of f32 dB':>10}{'MB':>7}"
    )
    for row in rows:
        print_line(
            f"{row['variant']:36}{row['ms']:>9.1f}{row['speed']:>11.2f}{row['truth_db']:>9.2f}"
            f"{row['lost_db']:>7.2f}{row['float32_db']:>10.1f}{row['weight_bytes'] / 1e6:>7.2f}"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--model",
        type=Path,
        default=EMBEDDED_FOLDER,
        metavar="DIR",
        help="a float16 export (default: the shipped model)",
    )
    parser.add_argument("--clips", type=int, default=8, help="held-out clips (default: 8)")
    parser.add_argument("--only-weights", action="store_true", help="only the smaller files")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for the models")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the figures as JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        root = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root.mkdir(parents=True, exist_ok=True)
        variants = build(options.model, options.pairs, root, compute=not options.only_weights)
        clips = find_clips(options.pairs, "held out")[: options.clips]
        for width, height in SIZES:
            engines = {
                name: stack.enter_context(OnnxEngine(v.folder, width=width, height=height))
                for name, v in variants.items()
            }
            made, truth, taken = realize(engines, clips, width, height)
            best = mean_psnr(made["float32"], truth)
            found = []
            for name, variant in variants.items():
                pairs = zip(taken["float32"], taken[name], strict=True)
                got = mean_psnr(made[name], truth)
                found.append(
                    {
                        "size": f"{width}x{height}",
                        "variant": name,
                        "ms": statistics.median(taken[name]),
                        "speed": statistics.median(whole / own for whole, own in pairs),
                        "truth_db": got,
                        "lost_db": best - got,
                        "float32_db": mean_psnr(made[name], made["float32"]),
                        "weight_bytes": variant.weight_bytes,
                    }
                )
            print(f"{width}x{height}, {len(truth)} chunks of {len(clips)} held-out clips")
            show(print, found)
            rows += found
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
