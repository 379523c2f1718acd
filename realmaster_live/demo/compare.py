"""`realmaster bench --compare`: the cached reference against its alternatives, in one run."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from realmaster_live.frames.chunk import Chunk, ChunkSpec, Frame
from realmaster_live.live.chunker import Chunker

ENGINE = "embedded, whole chunk in ONNX Runtime"
CACHED, RECOMPUTED = "cached reference", "recomputed every pass"
HEAD = f"{'steps':>5}  {'variant':<29}{'ms':>9}{'ratio':>8}{'arithmetic':>12}{'MB/frame':>11}"
NOTES = (
    "ms: time of a chunk, median over rounds that run all variants in turn. ratio: to the time of "
    "the nearest row above with ratio 1.00, within a round; variants without a past are compared "
    "with ours without a past. arithmetic: that ratio by the transformer's products "
    "(model/cost.py), without the modulations, which the concatenated variants compute for every "
    "token. MB/frame: what torch's dispatcher counts in cat, stack, clone, copy and casts."
)


def random_frames(spec: ChunkSpec, count: int, seed: int = 0) -> list[Frame]:
    """Return frames of noise: no graph's time depends on the content."""
    generator = np.random.default_rng(seed)
    shape = (spec.height, spec.width, 3)
    return [
        Frame(
            camera="bench",
            frame_id=index,
            timestamp=index / spec.fps,
            captured_at=0.0,
            image=generator.integers(0, 256, shape, dtype=np.uint8),
            intrinsics=np.eye(3),
            cam_to_world=np.eye(4),
        )
        for index in range(count)
    ]


def random_chunks(spec: ChunkSpec, count: int) -> list[Chunk]:
    """Return chunks of noise, as the chunker makes them."""
    chunker = Chunker(spec)
    frames = random_frames(spec, spec.first_frames + (count - 1) * spec.frames)
    return [chunk for frame in frames if (chunk := chunker.push(frame)) is not None]


def engine_rows(
    folder: str | None, width: int, height: int, *, steps: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield rows of the ONNX engine, autoencoder and all, with the cache and without it."""
    from realmaster_live.engines.onnx_engine import OnnxEngine

    for count in steps:
        with ExitStack() as stack:
            engines = [
                stack.enter_context(
                    OnnxEngine(
                        folder, width=width, height=height, steps=count, recompute_reference=again
                    )
                )
                for again in (False, True)
            ]
            chunks = random_chunks(engines[0].spec, rounds + 2)
            taken: tuple[list[float], list[float]] = ([], [])
            worst = 0
            for chunk in chunks:
                made = []
                for engine, seconds in zip(engines, taken, strict=True):
                    began = time.perf_counter()
                    made.append(engine.realize(chunk).frames.astype(np.int16))
                    seconds.append(time.perf_counter() - began)
                worst = max(worst, int(np.abs(made[0] - made[1]).max()))
        cached, again = (seconds[2:] for seconds in taken)  # two chunks fill the ring
        ratios = [long / short for long, short in zip(again, cached, strict=True)]
        own = CACHED
        for way, times, ratio in (
            (own, cached, 1.0),
            (RECOMPUTED, again, statistics.median(ratios)),
        ):
            yield {
                "case": ENGINE,
                "steps": count,
                "way": way,
                "against": own,
                "equals": None if way == own else own,
                "ms": 1e3 * statistics.median(times),
                "ratio": ratio,
                "expected": None,
                "copied": None,
                "difference": None if way == own else float(worst),
            }


def host_bytes(folder: str | None, width: int, height: int) -> dict[str, float]:
    """Return bytes for one frame of the embedded chain: what it copies, and allocates anew."""
    from realmaster_live.engines.onnx_engine import OnnxEngine

    with OnnxEngine(folder, width=width, height=height) as engine:
        spec = engine.spec
        for chunk in random_chunks(spec, 3):
            engine.realize(chunk)  # the ring is full from here on
        frames = random_frames(spec, spec.first_frames + spec.frames)
        chunker = Chunker(spec)
        for frame in frames[: spec.first_frames]:
            chunker.push(frame)
        following = frames[spec.first_frames :]
        tracemalloc.start()
        try:
            chunk = next(made for frame in following if (made := chunker.push(frame)) is not None)
            stacked = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            engine.realize(chunk)
            allocated = tracemalloc.get_traced_memory()[1] - stacked
        finally:
            tracemalloc.stop()
    return {
        "pipeline": stacked / spec.frames,
        "engine": allocated / spec.frames,
        "device": 2.0 * width * height * 3,
    }


def show_bytes(size: str, found: dict[str, float]) -> str:
    """Return what `host_bytes` found, as text."""
    pipeline, engine, device = (found[name] / 1e6 for name in ("pipeline", "engine", "device"))
    return (
        f"MB for each frame of {size}: {pipeline:.2f} copied by the chunker (tracemalloc), "
        f"at most {engine:.2f} of numpy memory made anew by the ONNX engine (tracemalloc), 0 "
        f"between host and device on a CPU, {device:.2f} on a GPU (computed: the frame in and out)"
    )


def show_rows(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print rows as they come, with a head for each case; return them all."""
    from realmaster_live.live.progress import console

    out = console()
    kept: list[dict[str, Any]] = []
    for row in rows:
        if not kept or kept[-1]["case"] != row["case"]:
            out.print(f"\n{row['case']}\n{HEAD}", soft_wrap=True)
        kept.append(row)
        out.print(line(row), soft_wrap=True)
    return kept


def line(row: dict[str, Any]) -> str:
    """Return a row's text."""

    def number(value: float | None, width: int) -> str:
        return " " * width if value is None else f"{value:{width}.2f}"

    copied = None if row["copied"] is None else row["copied"] / 1e6
    text = f"{row['steps']:>5}  {row['way']:<29}{row['ms']:>9.1f}{row['ratio']:>8.2f}"
    text += number(row["expected"], 12) + number(copied, 11)
    if row["difference"] is not None:
        text += f"   differs from '{row['equals']}' by {row['difference']:.2g}"
    return text.rstrip()
