"""Measures the whole chain: simulator in its own process, capture, engine, recording.

The town's drawing takes the same cores as the rest. Users' simulators draw on a GPU or on another
machine, so the chain is measured a second time with pictures that were drawn before.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from realmaster_live.demo.local_town import LocalTown, pick_ego, town_process
from realmaster_live.demo.settings import Bench
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.live.progress import run_with_progress
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Engine
from realmaster_live.recording import About, Recorder
from realmaster_live.system.host import describe_host
from realmaster_live.system.processes import processor_s

Drawing = Literal["live", "before"]
DRAWINGS: Mapping[Drawing, str] = {
    "live": "live, on the same cores",
    "before": "before, as by other hardware",
}
VEHICLES, WALKERS = 24, 24
LOOP_TICKS = 24  # that the town draws before: of one size 45 MB at 512x288
KEPT_CHUNKS = 16  # enough for a steady median


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One run of the whole chain.

    Attributes:
        stats: of the run. own_ms: what this process takes of the processor for a frame.
        town_ms: the same of the town's; None where the system does not say.
    """

    stats: Stats
    own_ms: float
    town_ms: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "fps": self.stats.fps}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One size.

    Attributes:
        chains: by when the pictures were drawn: "live" or "before".
        parts_ms: what the parts of this process take of the processor for a frame, each alone:
            "capture", "engine" and "recording"; empty where they were not measured.
        engine_ms: median time of a chunk, the engine alone, its reference computed once a chunk.
        recomputed_ms: the same with the reference computed anew at every step; both are None where
            the engine has no reference.
    """

    width: int
    height: int
    chains: Mapping[Drawing, Chain]
    parts_ms: Mapping[str, float]
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
            "chains": {drawing: chain.as_dict() for drawing, chain in self.chains.items()},
            "ratio": self.ratio,
            "host": describe_host(),
        }


class KeptChunks:
    """A sink that keeps the first chunks."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def write(self, chunk: Chunk) -> None:
        """Keep a chunk while there is room."""
        if len(self.chunks) < KEPT_CHUNKS and chunk.rendered is not None:
            self.chunks.append(chunk)

    def close(self) -> None:
        """Keep the chunks."""


def run_bench(bench: Bench) -> Iterator[Result]:
    """Yield one result a size, all from the same town."""
    chains: dict[tuple[int, int], dict[Drawing, Chain]] = {size: {} for size in bench.sizes}
    chunks: dict[tuple[int, int], list[Chunk]] = {}
    capture_ms: dict[tuple[int, int], float] = {}
    for drawing in DRAWINGS if bench.drawing == "both" else (bench.drawing,):
        loop = [f"--loop={LOOP_TICKS}"] if drawing == "before" else []
        with town_process(bench.seed, *loop, vehicles=VEHICLES, walkers=WALKERS) as town:
            ego = pick_ego(town.port)
            for size in bench.sizes:
                run = _Run(bench, size, drawing, town, ego)
                chains[size][drawing], chunks[size] = run.chain()
                capture_ms[size] = run.capture_ms() if bench.alone else math.nan
    for size in bench.sizes:  # by now no town takes a part of the processor
        width, height = size
        result = Result(width=width, height=height, chains=chains[size], parts_ms={})
        yield _alone(bench, result, chunks[size], capture_ms[size]) if bench.alone else result


@dataclass(frozen=True)
class _Run:
    """One size in one town."""

    bench: Bench
    size: tuple[int, int]
    drawing: Drawing
    town: LocalTown
    ego: int

    def chain(self) -> tuple[Chain, list[Chunk]]:
        """Run the whole chain; return its figures and its first chunks."""
        bench = self.bench
        with ExitStack() as stack:
            engine = _load(bench, *self.size)
            stack.callback(engine.close)
            bridge = self._attached(stack)
            recorder = Recorder(_folder(stack), about=About(seed=bench.seed))
            kept, spec = KeptChunks(), engine.spec
            least = spec.first_frames + 2 * spec.frames
            began_s = self._processor_s()
            stats = run_with_progress(
                f"{spec.width}x{spec.height}, pictures drawn {self.drawing}",
                bridge,
                engine,
                [recorder, kept],
                max_frames=max(least, round(bench.seconds * bench.fps)),
                quiet=True,
            )
            town_ms, own_ms = 1e3 * (self._processor_s() - began_s) / max(stats.realized, 1)
        town = None if math.isnan(town_ms) else float(town_ms)
        return Chain(stats=stats, own_ms=float(own_ms), town_ms=town), kept.chunks

    def capture_ms(self) -> float:
        """Return what this process takes of the processor for the capture of a frame."""
        with ExitStack() as stack:
            frames = self._attached(stack).frames()
            began_s = time.process_time()
            count = sum(1 for _ in islice(frames, 2 * LOOP_TICKS))
            return 1e3 * (time.process_time() - began_s) / count

    def _attached(self, stack: ExitStack) -> Any:
        """Return an open bridge, whose town has drawn all that it draws before."""
        from realmaster_live.bridges.carla.bridge import CarlaBridge

        width, height = self.size
        bridge = stack.enter_context(
            CarlaBridge(
                port=self.town.port,
                ego=self.ego,
                width=width,
                height=height,
                fixed_delta_s=1.0 / self.bench.fps,
            )
        )
        if self.drawing == "before":
            for _ in islice(bridge.frames(), 2 * LOOP_TICKS):
                pass
        return bridge

    def _processor_s(self) -> Any:
        """Return what the town's process and this one have taken so far, (2,) seconds."""
        return np.array([processor_s(self.town.pid), time.process_time()])


def _alone(bench: Bench, result: Result, chunks: Sequence[Chunk], capture_ms: float) -> Result:
    """Return the result with the parts alone: first the engine, then the recording.

    Engines with the reference cache and without realize each chunk in turn, so that whatever else
    runs burdens both alike; the first chunk only warms them up.
    """
    frames = sum(len(chunk) for chunk in chunks[1:])
    parts_ms = {"capture": capture_ms}
    if bench.engine != "identity":
        taken = _realized(bench, chunks)
        cached, recomputed = (float(np.median(times[1:, 0])) for times in taken)
        parts_ms["engine"] = float(taken[0][1:, 1].sum()) / frames
        result = replace(result, engine_ms=cached, recomputed_ms=recomputed)
    with ExitStack() as stack:
        spec = ChunkSpec(
            frames=len(chunks[-1]), height=result.height, width=result.width, fps=bench.fps
        )
        recorder = stack.enter_context(Recorder(_folder(stack), spec))
        recorder.write(chunks[0])
        began_s = time.process_time()
        for chunk in chunks[1:]:
            recorder.write(chunk)
        parts_ms["recording"] = 1e3 * (time.process_time() - began_s) / frames
    return replace(result, parts_ms=parts_ms)


def _realized(bench: Bench, chunks: Sequence[Chunk]) -> tuple[Any, Any]:
    """Return ms of time and of the processor for each chunk, (N, 2), with the cache and without."""
    height, width = chunks[0].frames.shape[1:3]
    taken: tuple[list[list[float]], list[list[float]]] = ([], [])
    with ExitStack() as stack:
        engines = [
            _load(bench, width, height, recompute_reference=again) for again in (False, True)
        ]
        for engine in engines:
            stack.callback(engine.close)
        for chunk in chunks:
            assert chunk.rendered is not None
            rendered = replace(chunk, frames=chunk.rendered, rendered=None)
            for engine, times in zip(engines, taken, strict=True):
                began_s = np.array([time.perf_counter(), time.process_time()])
                engine.realize(rendered)
                now_s = np.array([time.perf_counter(), time.process_time()])
                times.append((1e3 * (now_s - began_s)).tolist())
    cached, recomputed = (np.array(times) for times in taken)
    return cached, recomputed


def _folder(stack: ExitStack) -> Path:
    """Return a folder for a recording, which goes with the stack."""
    made = stack.enter_context(tempfile.TemporaryDirectory(prefix="realmaster-bench-"))
    return Path(made) / "recording"


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
