"""Realizes one sequence, and keeps an engine loaded from one to the next."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.errors import PairError
from realmaster_live.live.pipeline import run
from realmaster_live.live.recorded_run import about_run
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import PromptedEngine, Sink, Source
from realmaster_live.recording import Recorder, Recording
from realmaster_live.replay.footage import Size
from realmaster_live.replay.job import STAMP, Job, Piece, Realizing
from realmaster_live.replay.kinds import open_footage
from realmaster_live.replay.recorded_prompts import AsRecorded, recorded_prompts
from realmaster_live.system.atomic_files import room_for

Wrap = Callable[[PromptedEngine], PromptedEngine]
FROM_BEFORE = ("seed", "town", "route", "weather", "licence")


class Engines:
    """The engines of the last piece's cameras, for the next one of the same sizes and rate."""

    def __init__(
        self, realizing: Realizing, *, threads: int = 0, wrap: Wrap = lambda engine: engine
    ) -> None:
        self._realizing, self._threads, self._wrap = realizing, threads, wrap
        self._engines: dict[str, PromptedEngine] = {}
        self._made_for: object = None
        self._told = False

    def get(
        self, sizes: Mapping[str, Size], fps: float, *, told: bool = False
    ) -> dict[str, PromptedEngine]:
        """Return an engine a camera that remembers nothing; `told`: it will be told its prompts."""
        if (dict(sizes), fps) != self._made_for or (self._told and not told):
            self.close()
            self._engines = {name: self._load(size, fps) for name, size in sizes.items()}
            self._made_for = dict(sizes), fps
        for engine in self._engines.values():
            engine.reset()
        self._told = told
        return self._engines

    def close(self) -> None:
        """Release the engines; may be called twice."""
        for engine in self._engines.values():
            engine.close()
        self._engines, self._made_for = {}, None

    def _load(self, size: Size, fps: float) -> PromptedEngine:
        from realmaster_live.engines.load import load_engine

        width, height = size
        engine = load_engine(
            self._realizing.engine,
            width=width,
            height=height,
            fps=fps,
            seed=self._realizing.seed,
            threads=self._threads,
            prompt=self._realizing.prompt,
        )
        try:
            return self._wrap(engine)
        except BaseException:
            engine.close()
            raise


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
        loaded = engines.get(piece.sizes, footage.fps, told=any(prompts.values()))
        first = next(iter(loaded.values()))
        told: dict[str, Any] = {**footage.told, "replayed_from": footage.name, STAMP: piece.stamp}
        about = about_run(job.realizing.engine, first, told, policy="block")
        if isinstance(source, Recording):  # where it is from stays; how it was made is new
            before = source.meta.about
            about = replace(about, **{name: getattr(before, name) for name in FROM_BEFORE})
        recorders = []
        if record is not None:
            recorders.append(
                Recorder(record, first.spec, about=about, lossless=job.realizing.lossless)
            )
    except BaseException:
        source.close()
        raise
    return run(
        source,
        {name: AsRecorded(engine, prompts.get(name)) for name, engine in loaded.items()},
        [*recorders, *sinks],
        on_progress=on_progress,
        resize=dict(piece.sizes) != dict(footage.cameras),
        frame_step=step,
    )


def _of_recording(
    source: Source, realizing: Realizing
) -> tuple[dict[str, dict[int, tuple[str, int]]], int]:
    """Return the prompts to follow, by camera, and what frame numbers grow by at each frame."""
    if not isinstance(source, Recording):
        return {}, 1
    cameras = () if realizing.prompt else source.cameras
    rows = source.table("frames", source.cameras[0])
    numbers = np.array(rows["frame_id"].to_pylist(), np.int64)
    together = np.diff(np.array(rows["chunk_index"].to_pylist(), np.int64)) == 0
    steps = np.diff(numbers)[together]
    step = max(1, int(steps.min())) if len(steps) else 1
    return {camera: recorded_prompts(source, camera) for camera in cameras}, step


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
