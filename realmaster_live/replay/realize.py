"""Realizes footage into a recording, with engines that stay loaded from one piece to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.errors import PairError
from realmaster_live.live.pipeline import run
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import PromptedEngine, Sink, Source
from realmaster_live.recording import About, Recorder, Recording
from realmaster_live.replay.footage import Size, info_of
from realmaster_live.replay.job import STAMP, Job, Piece, Realizing
from realmaster_live.replay.kinds import open_footage
from realmaster_live.replay.recorded_prompts import RecordedPrompts, recorded_prompts

Wrap = Callable[[PromptedEngine], PromptedEngine]
INHERITED = ("seed", "town", "route", "weather", "licence")  # from the recording to its replay


class Engines:
    """Engines of all cameras, kept for the next piece of the same sizes and frame rate."""

    def __init__(
        self, realizing: Realizing, *, threads: int = 0, wrap: Wrap = lambda engine: engine
    ) -> None:
        self._realizing, self._threads, self._wrap = realizing, threads, wrap
        self._engines: dict[str, Any] = {}
        self._loaded_for: object = None
        self._prompted = False

    def get(
        self,
        sizes: Mapping[str, Size],
        fps: float,
        *,
        prompted: bool = False,
        together: bool = True,
        frames: int = 0,
    ) -> dict[str, Any]:
        """Return a reset engine for each camera, as `load_engines` does.

        `prompted`: the prompt is going to be changed. `together`: it is the same for all cameras.
        `frames`: those of the footage (0: unknown).
        """
        from realmaster_live.engines.cameras import load_engines

        options = self._realizing.running.given()
        if options.get("guidance") is not None and frames:
            options.setdefault("clip", even_clip(frames))
        wanted = dict(sizes), fps, options, together
        if wanted != self._loaded_for or (self._prompted and not prompted):
            self.close()
            gated = self._realizing.fidelity.get("fidelity") is not None  # each chunk by itself
            self._engines = load_engines(
                self._realizing.engine,
                sizes,
                together=together and not gated,
                wrap=self._wrap,
                fps=fps,
                seed=self._realizing.seed,
                threads=self._threads,
                prompt=self._realizing.prompt,
                **options,
            )
            self._loaded_for = wanted
        for engine in self._engines.values():
            engine.reset()
        self._prompted = prompted
        return self._engines

    def close(self) -> None:
        """Release the engines; may be called twice."""
        from realmaster_live.engines.cameras import close_engines

        close_engines(self._engines)
        self._engines, self._loaded_for = {}, None


def even_clip(frames: int, most: int = 81) -> int:
    """Return the length of clips that footage is divided into, as few as there may be.

    What is left over at the end is shorter than their number and a latent's four frames together.
    """
    return frames // -(-frames // most)


def realize(
    job: Job,
    piece: Piece,
    engines: Engines,
    part: Path,
    *,
    sinks: Sequence[Sink] = (),
    on_progress: Callable[[Stats], None] | None = None,
) -> Stats:
    """Make the recording of a piece in the new folder `part`.

    Raises:
        PairError: the footage is too short. Any other error is the source's, the engine's or a
            sink's.
    """
    stats = play(job, piece, engines, sinks=sinks, record=part, on_progress=on_progress)
    if not stats.realized:
        raise PairError(
            f"expected enough consecutive frames for a chunk in {piece.footage.path}, got "
            f"{stats.captured} frames: leave it out"
        )
    return stats


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
    """Run a piece through its engines into the sinks, and into a recording if one is named."""
    footage = piece.footage
    with closing(open_footage(footage, job.reading, pace=pace)) as source:
        prompts, step = _of_recording(source, job.realizing)
        each = list(prompts.values())
        loaded = engines.get(
            piece.sizes,
            footage.fps,
            prompted=any(each),
            together=all(one == each[0] for one in each),
            frames=footage.frames,
        )
        recorders = []
        if record is not None:
            about = _about(source, piece, job.realizing)
            recorders.append(Recorder(record, about=about, lossless=job.realizing.lossless))
        return run(
            source,
            _prompted(loaded, prompts),
            [*recorders, *sinks],
            on_progress=on_progress,
            resize=dict(piece.sizes) != dict(footage.cameras),
            frame_step=step,
        )


def _prompted(
    engines: Mapping[str, Any], prompts: Mapping[str, Mapping[int, tuple[str, int]]]
) -> dict[str, RecordedPrompts]:
    """Return camera -> its engine under the recorded prompts; one that cameras share stays one."""
    made: dict[int, RecordedPrompts] = {}
    for name, engine in engines.items():
        made.setdefault(id(engine), RecordedPrompts(engine, prompts.get(name)))
    return {name: made[id(engine)] for name, engine in engines.items()}


def _about(source: Source, piece: Piece, realizing: Realizing) -> About:
    """Return what is to be recorded: where it is from stays, how it was made is new."""
    details = {"replayed_from": piece.footage.name, STAMP: piece.stamp}
    about = About(engine=realizing.engine, source=info_of(piece.footage).with_details(**details))
    if isinstance(source, Recording):
        before = source.meta.about
        return replace(about, **{name: getattr(before, name) for name in INHERITED})
    return about


def _of_recording(
    source: Source, realizing: Realizing
) -> tuple[dict[str, dict[int, tuple[str, int]]], int]:
    """Return camera -> its recorded prompts, and the step between consecutive frame numbers."""
    if not isinstance(source, Recording):
        return {}, 1
    cameras = () if realizing.prompt else source.cameras
    rows = source.table("frames", source.cameras[0])
    numbers = np.array(rows["frame_id"].to_pylist(), np.int64)
    together = np.diff(np.array(rows["chunk_index"].to_pylist(), np.int64)) == 0
    steps = np.diff(numbers)[together]
    step = max(1, int(steps.min())) if len(steps) else 1
    return {camera: recorded_prompts(source, camera) for camera in cameras}, step
