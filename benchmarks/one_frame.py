"""Compares policy `frame` with chunks: similarity to the truth, flicker, and delay.

`python benchmarks/one_frame.py PAIRS` takes a folder of `realmaster pairs render`. "chunks" is the
engine on whole chunks; "single" realizes each frame alone, as a chunk of its copies. A picture's
delay after its tick, at 20 ticks per second, is the wait for the rest of its chunk plus the
engine's time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from realmaster_live.engines.load import load_engine
from realmaster_live.feeds.one_frame import OneFrameEngine
from realmaster_live.training.evaluate.metrics import flicker, psnr, ssim
from realmaster_live.training.evaluate.pictures import realize_frames

TICK_MS = 50.0


def main() -> None:
    """Print one line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--engine", default="embedded")
    options = parser.parse_args()
    clips = []
    for path in sorted(options.pairs.glob("*.sim.npy")):
        truth = path.with_name(path.name.replace(".sim.", ".truth."))
        clips.append((np.load(path), np.load(truth)))
    if not clips:
        raise SystemExit(f"expected clips in {options.pairs}, got none: realmaster pairs render")
    height, width = clips[0][0].shape[1:3]
    print(f"{sum(len(sim) for sim, _ in clips)} frames of {width}x{height}")
    for name in ("rendered", "chunks", "single"):
        engine = load_engine(options.engine, width=width, height=height)
        realizer = OneFrameEngine(engine) if name == "single" else engine
        size = realizer.spec.frames
        figures: list[list[float]] = [[], [], []]
        spent_s: list[float] = []
        for sim, truth in clips:
            began = time.process_time()
            got = sim if name == "rendered" else realize_frames(realizer, sim)
            spent_s.append((time.process_time() - began) / max(1, len(got) // size))
            for values, metric in zip(figures, (psnr, ssim, flicker), strict=True):
                values += metric(got, truth[: len(got)])
        mean_psnr, mean_ssim, mean_flicker = (float(np.mean(values)) for values in figures)
        line = f"{name:8s}  {mean_psnr:5.2f} dB  SSIM {mean_ssim:.3f}  "
        line += f"flicker {mean_flicker:5.2f} levels"
        if name != "rendered":
            cost_ms = 1e3 * float(np.median(spent_s))
            waits_ms = np.arange(size)[::-1] * TICK_MS
            line += (
                f"  {cost_ms / size:6.1f} ms of CPU per frame; delay {waits_ms.min():.0f} to "
                f"{waits_ms.max():.0f} ms plus the engine's time"
            )
        print(line, flush=True)
        engine.close()


if __name__ == "__main__":
    main()
