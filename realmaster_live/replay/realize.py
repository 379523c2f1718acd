"""Realizes one sequence, and keeps an engine loaded from one to the next."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.atomic_files import room_for
from realmaster_live.errors import PairError
from realmaster_live.live import about_run
from realmaster_live.pipeline import run
from realmaster_live.protocols import PromptedEngine, Sink, Source
from realmaster_live.recording import Recorder, Recording
from realmaster_live.replay.footage import open_footage
from realmaster_live.replay.job import STAMP, Job, Piece, Realizing
from realmaster_live.replay.recorded_prompts import AsRecorded, recorded_prompts
from realmaster_live.stats import Stats


class Engines:
    """The engine of the last piece, for the next one of the same size and rate."""

    def __init__(self, realizing: Realizing, *, threads: int = 0) -> None:
        self._realizing, self._threads = realizing, threads
        self._engine: PromptedEngine | None = None
        self._told = False

    def get(self, size: tuple[int, int], fps: float, *, told: bool = False) -> PromptedEngine:
        """Return an engine that remembers nothing; `told`: it will be told its prompts."""
        from realmaster_live.engines.load import load_engine

        engine = self._engine
        if engine is not None:
            spec = engine.spec
            if (spec.width, spec.height, spec.fps) == (*size, fps) and (told or not self._told):
                engine.reset()
                self._told = told
                return engine
            self.close()
        self._told = told
        width, height = size
        self._engine = load_engine(
            self._realizing.engine,
            width=width,
            height=height,
            fps=fps,
            seed=self._realizing.seed,
            threads=self._threads,
            prompt=self._realizing.prompt,
        )
        return self._engine

    def close(self) -> None:
        """Release the engine; may be called twice."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def realize(
    job: Job,
    piece: Piece,
    engines: Engines,
    *,
    sinks: Sequence[Sink] = (),
    on_progress: Callable[[Stats], None] | None = None,
) -> Stats:
    """Make a piece: aside, and moved to its place when it is whole.

    Raises:
        DiskFull: there is no room. Any other error is the source's, the engine's or a sink's.
    """
    part = piece.out.with_name(f".{piece.out.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        with room_for(piece.out):
            piece.out.parent.mkdir(parents=True, exist_ok=True)
            stats = play(job, piece, engines, sinks=sinks, record=part, on_progress=on_progress)
            if not stats.realized:
                raise PairError(
                    f"expected enough frames in a row for a chunk in {piece.footage.path}, got "
                    f"{stats.captured} frames: leave it out"
                )
            _settle(part, piece.out)
            return stats
    finally:
        shutil.rmtree(part, ignore_errors=True)


def play(
    job: Job,
    piece: Piece,
    engines: Engines,
    *,
    sinks: Sequence[Sink] = (),
    record: Path | None = None,
    pace: bool = False,
    on_progress: Callable[[Stats], None] | None = None,
) -> Stats:
    """Play a piece through its engine into the sinks, and into a recording where asked for."""
    footage = piece.footage
    source = open_footage(footage, job.reading, pace=pace)
    try:
        prompts, step = _of_recording(source, job.realizing)
        engine = engines.get(piece.size, footage.fps, told=bool(prompts))
        told: dict[str, Any] = {**footage.told, "replayed_from": footage.name, STAMP: piece.stamp}
        about = about_run(job.realizing.engine, engine, told, policy="block")
        if isinstance(source, Recording):
            about = replace(source.meta.about, source=told, policy="block", engine=about.engine,
                            engine_sha256=about.engine_sha256)  # fmt: skip
        recorders = []
        if record is not None:
            recorders.append(
                Recorder(record, engine.spec, about=about, lossless=job.realizing.lossless)
            )
    except BaseException:
        source.close()
        raise
    return run(
        source,
        AsRecorded(engine, prompts),
        [*recorders, *sinks],
        on_progress=on_progress,
        resize=piece.size != (footage.width, footage.height),
        frame_step=step,
    )


def _of_recording(
    source: Source, realizing: Realizing
) -> tuple[dict[int, tuple[str, int]] | None, int]:
    """Return the prompts to follow, and what frame numbers grow by from one frame to the next."""
    if not isinstance(source, Recording):
        return None, 1
    camera = source.cameras[0]
    prompts = None if realizing.prompt else recorded_prompts(source, camera)
    rows = source.table("frames", camera)
    numbers = np.array(rows["frame_id"].to_pylist(), np.int64)
    together = np.diff(np.array(rows["chunk_index"].to_pylist(), np.int64)) == 0
    steps = np.diff(numbers)[together]
    return prompts, max(1, int(steps.min())) if len(steps) else 1


def sweep(piece: Piece) -> None:
    """Remove what dead workers left of a piece; its lease must be held."""
    for left in piece.out.parent.glob(f".{piece.out.name}.*.part*"):
        shutil.rmtree(left, ignore_errors=True)


def _settle(part: Path, out: Path) -> None:
    """Move a whole recording to its place; one that is there goes first."""
    aside = part.with_name(f"{part.name}.old")
    if out.exists():
        out.rename(aside)
    part.rename(out)
    shutil.rmtree(aside, ignore_errors=True)
