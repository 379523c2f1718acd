"""Times a chunk by stage, frames a second by picture size, and the gain of the cached reference.

Run `python benchmarks/engine.py [FOLDER]`. With `--torch` the torch engine, eager and with random
weights of the same profile, is timed in the same run; the last column is the ratio of its time to
ONNX Runtime's. With `--against FOLDER` another export realizes the same chunks in turn, each with
its own number of steps, and the median ratios of its times to the first one's are printed instead.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.engines.onnx_engine import STAGES, OnnxEngine
from realmaster_live.frames.chunk import Chunk

SIZES = ((384, 224), (448, 256), (512, 288))
WARM = 3  # chunks that are not counted


def chunk_of(engine: Any, index: int, seed: int) -> Chunk:
    """Return a chunk of random pictures, on whose content the graphs' time does not depend."""
    spec = engine.spec
    shape = (spec.frames, spec.height, spec.width, 3)
    return Chunk(
        index=index,
        camera="benchmark",
        frames=np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8),
        frame_ids=np.arange(spec.frames) + index * spec.frames,
        timestamps=np.arange(spec.frames) / spec.fps,
        captured_at=np.zeros(spec.frames),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (spec.frames, 1, 1)),
    )


def measure(engine: Any, chunks: int, warm: int = WARM) -> dict[str, float]:
    """Return the median milliseconds of each stage, and of the whole chunk as `chunk`."""
    for index in range(warm + chunks):
        engine.realize(chunk_of(engine, index, seed=index))
    times = {stage: engine.timings[stage][warm:] for stage in STAGES}
    whole = [sum(parts) for parts in zip(*times.values(), strict=True)]
    figures = {stage: 1e3 * statistics.median(seconds) for stage, seconds in times.items()}
    return {**figures, "chunk": 1e3 * statistics.median(whole)}


def against(arguments: argparse.Namespace) -> None:
    """Print, for each size, the ratios of another export's times to the first one's."""
    print(f"{'size':>9}" + "".join(f"{name:>9}" for name in (*STAGES, "chunk")) + "  times as long")
    for width, height in SIZES:
        options = {"width": width, "height": height, "threads": arguments.threads}
        with (
            OnnxEngine(arguments.folder, steps=arguments.steps, **options) as first,
            OnnxEngine(arguments.against, steps=arguments.steps, **options) as other,
        ):
            for index in range(WARM + arguments.chunks):
                for engine in (first, other):
                    engine.realize(chunk_of(engine, index, seed=index))
            times = [
                np.array([engine.timings[stage][WARM:] for stage in STAGES])
                for engine in (first, other)
            ]
        whole = [np.concatenate([each, each.sum(0)[None]]) for each in times]
        ratios = np.median(whole[1] / whole[0], axis=1)
        print(f"{width:>5}x{height}" + "".join(f"{ratio:>9.2f}" for ratio in ratios))


def torch_chunk(
    fields: dict[str, Any], *, width: int, height: int, steps: int | None, threads: int, chunks: int
) -> float:
    """Return the torch engine's median milliseconds per chunk, for a profile's fields."""
    from realmaster_live.engines.torch.engine import TorchEngine
    from realmaster_live.model.checkpoint import save_checkpoint
    from realmaster_live.model.dit import InContextTransformer
    from realmaster_live.model.profile import Profile
    from realmaster_live.model.vae import StreamingAutoencoder

    profile = Profile.from_dict(fields)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder)
        save_checkpoint(checkpoint, StreamingAutoencoder(profile), InContextTransformer(profile))
        with TorchEngine(
            checkpoint, width=width, height=height, steps=steps, threads=threads
        ) as engine:
            return measure(engine, chunks)["chunk"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", help="an exported model; the shipped one by default")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--torch", action="store_true", help="also time torch, eager on the CPU")
    parser.add_argument("--against", metavar="FOLDER", help="another export, timed in turn")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"threads {arguments.threads or os.cpu_count()}; medians of {arguments.chunks} chunks, ms"
    )
    if arguments.against:
        against(arguments)
        return
    print(
        f"{'size':>9}"
        + "".join(f"{name:>9}" for name in (*STAGES, "chunk"))
        + f"{'fps':>7}{'recomputed':>12}{'ratio':>7}"
        + (f"{'torch':>9}{'ratio':>7}" if arguments.torch else "")
    )
    for width, height in SIZES:
        rows = []
        for recompute in (False, True):
            with OnnxEngine(
                arguments.folder,
                width=width,
                height=height,
                steps=arguments.steps,
                threads=arguments.threads,
                recompute_reference=recompute,
            ) as engine:
                rows.append(measure(engine, arguments.chunks))
                frames, fields = engine.spec.frames, engine.manifest["profile"]
        cached, recomputed = rows
        eager = ""
        if arguments.torch:
            taken = torch_chunk(
                fields,
                width=width,
                height=height,
                steps=arguments.steps,
                threads=arguments.threads or os.cpu_count() or 1,
                chunks=arguments.chunks,
            )
            eager = f"{taken:>9.1f}{taken / cached['chunk']:>7.2f}"
        print(
            f"{width:>5}x{height}"
            + "".join(f"{cached[name]:>9.1f}" for name in cached)
            + f"{1e3 * frames / cached['chunk']:>7.1f}{recomputed['chunk']:>12.1f}"
            + f"{recomputed['chunk'] / cached['chunk']:>7.2f}{eager}"
        )


if __name__ == "__main__":
    main()
