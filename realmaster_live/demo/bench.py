"""Measures the whole chain: simulator in its own process, capture, engine, recording."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.demo.local_town import local_town, pick_ego
from realmaster_live.demo.settings import Bench
from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.progress import console, run_with_progress
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Engine
from realmaster_live.recording import About, Recorder
from realmaster_live.system.host import describe_host

VEHICLES, WALKERS = 24, 24
PAIRED_CHUNKS = 16  # enough for a steady median


@dataclass(frozen=True, kw_only=True)
class Result:
    """One size.

    Attributes:
        stats: of the whole chain. engine_ms: median of a chunk, the engine alone, its reference
            computed once a chunk. recomputed_ms: the same with the reference computed anew at every
            step; both are None where the engine has no reference.
    """

    width: int
    height: int
    stats: Stats
    engine_ms: float | None = None
    recomputed_ms: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as long the engine alone takes without its reference cache."""
        if self.engine_ms is None or self.recomputed_ms is None:
            return None
        return self.recomputed_ms / self.engine_ms

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "fps": self.stats.fps,
            "ratio": self.ratio,
            "host": describe_host(),
        }


class RenderedChunks:
    """A sink that keeps the first chunks as they were rendered."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def write(self, chunk: Chunk) -> None:
        """Keep a chunk while there is room."""
        if len(self.chunks) < PAIRED_CHUNKS and chunk.rendered is not None:
            self.chunks.append(replace(chunk, frames=chunk.rendered, rendered=None))

    def close(self) -> None:
        """Keep the chunks."""


def run_bench(bench: Bench) -> Iterator[Result]:
    """Yield one result a size, all from the same town."""
    with local_town(seed=bench.seed, vehicles=VEHICLES, walkers=WALKERS) as port:
        ego = pick_ego(port)
        for width, height in bench.sizes:
            engine = _load(bench, width, height)
            console().print(f"{engine!r}", soft_wrap=True, markup=False, highlight=False)
            stats, chunks = _measure(bench, port, ego, engine)
            engine_ms = recomputed_ms = None
            if bench.alone and bench.engine != "identity":
                engine_ms, recomputed_ms = _compare(bench, chunks)
            yield Result(
                width=width,
                height=height,
                stats=stats,
                engine_ms=engine_ms,
                recomputed_ms=recomputed_ms,
            )


def _compare(bench: Bench, chunks: Sequence[Chunk]) -> tuple[float, float]:
    """Return the median ms of a chunk, with the reference cache and without it.

    Both engines realize each chunk in turn, so that whatever else runs burdens both alike; the
    first chunk only warms them up.
    """
    height, width = chunks[0].frames.shape[1:3]
    taken: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        engines = [
            _load(bench, width, height, recompute_reference=again) for again in (False, True)
        ]
        for engine in engines:
            stack.callback(engine.close)
        for chunk in chunks:
            for engine, times in zip(engines, taken, strict=True):
                began = time.perf_counter()
                engine.realize(chunk)
                times.append(1e3 * (time.perf_counter() - began))
    cached, recomputed = (float(np.median(times[1:])) for times in taken)
    return cached, recomputed


def _load(bench: Bench, width: int, height: int, *, recompute_reference: bool = False) -> Engine:
    from realmaster_live.engines.load import load_engine

    return load_engine(
        bench.engine,
        width=width,
        height=height,
        fps=bench.fps,
        recompute_reference=recompute_reference,
        **bench.running.given(),
    )


def _measure(bench: Bench, port: int, ego: int, engine: Engine) -> tuple[Stats, list[Chunk]]:
    from realmaster_live.bridges.carla.bridge import CarlaBridge

    spec = engine.spec
    with ExitStack() as stack:
        stack.callback(engine.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="realmaster-bench-")))
        bridge = stack.enter_context(
            CarlaBridge(
                port=port,
                ego=ego,
                width=spec.width,
                height=spec.height,
                fixed_delta_s=1.0 / bench.fps,
            )
        )
        recorder = Recorder(folder / "recording", about=About(seed=bench.seed))
        rendered = RenderedChunks()
        stats = run_with_progress(
            f"{spec.width}x{spec.height}",
            bridge,
            engine,
            [recorder, rendered],
            max_frames=max(spec.first_frames + 2 * spec.frames, round(bench.seconds * bench.fps)),
            quiet=True,
        )
        return stats, rendered.chunks
