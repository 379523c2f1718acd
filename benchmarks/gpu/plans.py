"""Checks a build's plans on the GPU of this machine: their pictures against the torch engine's.

Run `PYTHONPATH=. python benchmarks/gpu/plans.py PLANS CHECKPOINT` with the folder that `realmaster
build` wrote here and the checkpoint that it was given; with LoRAs, PLANS/merged is the checkpoint.
Chunks of noise go through every length of the past. Printed are the differences of pictures from
float32 in torch, in levels of 255, of the plans and, to compare with, of torch in bfloat16, and the
medians of a chunk's milliseconds. The exit status is 1 where the plans are off by more than a build
accepts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.program.rehearsal import is_beyond, limits, noise_chunk
from realmaster_live.engines.tensorrt.engine import TrtEngine
from realmaster_live.engines.tensorrt.plans import read_manifest, sha256_of
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.protocols import Engine

Films = list[NDArray[np.uint8]]


def realized(engine: Engine, chunks: int) -> tuple[Films, float]:
    """Return an engine's pictures of chunks of noise, and the median of its milliseconds."""
    films, taken = [], []
    for index in range(chunks):
        chunk = noise_chunk(engine.spec, index)
        began = time.perf_counter()
        films.append(engine.realize(chunk).frames)
        taken.append(1e3 * (time.perf_counter() - began))
    return films, statistics.median(taken)


def difference(films: Films, exact: Films) -> tuple[float, float]:
    """Return the largest and the mean difference, in levels."""
    apart = [np.abs(a.astype(int) - b.astype(int)) for a, b in zip(films, exact, strict=True)]
    return float(max(each.max() for each in apart)), float(np.mean([each.mean() for each in apart]))


def main() -> int:
    """Compare, and print; returns 1 where the plans are beyond their gate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", type=Path)
    parser.add_argument("checkpoint", type=Path)
    options = parser.parse_args()
    manifest = read_manifest(options.plans)
    if not manifest["loras"]:
        for name, digest in manifest["checkpoint"].items():
            if sha256_of(options.checkpoint / name) != digest:
                parser.error(f"{options.checkpoint / name} is not what the plans were built of")
    size = {"width": manifest["width"], "height": manifest["height"], "steps": manifest["steps"]}
    sink, ring = manifest["sizes"]["sink"], manifest["sizes"]["ring"]
    chunks = max(sink + 2 * ring + 2, 3)
    found = {}
    for name in ("fp32", "bf16"):
        with TorchEngine(options.checkpoint, device="cuda", precision=name, **size) as engine:
            found[f"torch in {name}"] = realized(engine, chunks)
    with TrtEngine(options.plans) as engine:
        found[f"plans in {manifest['precision']}"] = realized(engine, chunks)
    exact, _ = found["torch in fp32"]
    apart = {}
    for name, (films, took) in found.items():
        apart[name] = levels, mean = difference(films, exact)
        print(f"{name:<18}{levels:4.0f} levels at most, {mean:.3f} in the mean, {took:.1f} ms")
    precision = manifest["precision"]
    own, plans = apart[f"torch in {precision}"], apart[f"plans in {precision}"]
    figures = {"levels": plans[0], "mean_levels": plans[1]}
    figures |= {"torch_levels": own[0], "torch_mean_levels": own[1]}
    return int(is_beyond(figures, limits(precision, figures)))


if __name__ == "__main__":
    raise SystemExit(main())
