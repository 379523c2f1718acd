"""Drift over a long rollout: a clip is played forwards and backwards without a reset.

Legend: P forward passages, R resamples.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.errors import PairError
from realmaster_live.protocols import Engine, RememberingEngine
from realmaster_live.system.atomic_files import replacing
from realmaster_live.system.host import resident_mib
from realmaster_live.system.plots import line_plot
from realmaster_live.training.data import Clip
from realmaster_live.training.evaluate.drives.summary import RESAMPLES, blocks, interval, resampled
from realmaster_live.training.evaluate.metrics import psnr
from realmaster_live.training.evaluate.pictures import Known, as_chunk
from realmaster_live.training.pairs.palette import palette, wander

ROLLOUT_S = 60.0
PART_S = 60.0  # the beginning and the end that are compared
BLOCK_S = 10.0  # of passages that are drawn together: neighbouring ones are alike
KEEP_EVERY_S = 30.0  # of wall time, so that a rollout that is stopped loses no more
MEMORY = "engine."  # before the names of the engine's arrays in the file


@dataclass(kw_only=True)
class Progress:
    """How far a rollout has come.

    Attributes:
        passage: the next one. chunks: realized so far. waiting: frames realized of the next
            passage, (T, H, W, 3). means, contrasts: of each forward passage's channels, levels.
        palettes: of each forward passage, see `palette`. changes: mean change from frame to frame
            inside its chunks and across their borders, levels. memory_mib: of the process then.
        psnr_db: of the first, and then of the last passage.
    """

    passage: int = 0
    chunks: int = 0
    waiting: NDArray[np.uint8]
    means: list[NDArray[np.float64]] = field(default_factory=list)
    contrasts: list[NDArray[np.float64]] = field(default_factory=list)
    palettes: list[NDArray[np.float64]] = field(default_factory=list)
    changes: list[NDArray[np.float64]] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)


def drift(
    engine: Engine, clip: Clip, seconds: float = ROLLOUT_S, file: RolloutFile | None = None
) -> dict[str, Any]:
    """Play a clip forwards and backwards for `seconds`; compare its passages with the first one.

    Only forward passages are compared, since they show the same frames in the same order. The
    result holds the PSNR (dB) of the first and of the last passage, the largest shift of a
    channel's mean in levels and in percent of the first passage's, and that of its contrast
    (standard deviation) in percent. Figures that begin with `worst_` are the largest of all
    passages; the others are of the last one. `percent_a_minute` is the steepest slope of a
    channel's mean, with its interval; `palette_drift` is how far the passages' palettes wander, in
    L*a*b*. Flicker (change inside of chunks over the render's), seam ratio and memory are those
    of the first and of the last minute. `curve` holds, for each forward passage, when it ended in
    seconds, and both percentages. A rollout that was stopped goes on from what was stored.
    """
    spec = engine.spec
    length = len(clip) // spec.frames * spec.frames
    if not length:
        raise PairError(
            f"expected a clip of at least {spec.frames} frames, got {len(clip)}: render longer ones"
        )
    there_and_back = np.concatenate((np.arange(length), np.arange(length)[::-1]))
    truth = np.asarray(clip.truth[:length])
    # an odd number, so that the last passage is a forward one
    passages = max(3, int(seconds * spec.fps) // length | 1)
    # a passage begins at any multiple of the length, which is one of the chunk's
    is_border = (np.arange(1, length) - spec.first_frames) % spec.frames == 0
    engine.reset()
    known = Known.of(clip)
    spans = chunk_spans(spec, passages * length + spec.frames)  # chunks may end behind a passage
    now = Progress(waiting=np.empty((0, *clip.sim.shape[1:]), np.uint8))
    if file is not None:
        now = file.read(engine, now)
    while now.passage < passages:
        while len(now.waiting) < length:
            span = spans[now.chunks]
            times = there_and_back[np.arange(span.start, span.stop) % len(there_and_back)]
            chunk = as_chunk(clip.sim[times], now.chunks, span.start, spec.fps, known.at(times))
            now.waiting = np.concatenate((now.waiting, engine.realize(chunk).frames))
            now.chunks += 1
        made, now.waiting = now.waiting[:length], now.waiting[length:]
        if now.passage % 2 == 0:
            now.means.append(made.mean((0, 1, 2)))
            now.contrasts.append(made.std((0, 1, 2)))
            now.palettes.append(palette(made).mean(0))
            now.changes.append(changes_of(made, is_border))
            now.memory_mib.append(resident_mib())
        if now.passage in (0, passages - 1):
            now.psnr_db.append(float(np.mean(psnr(made, truth))))
        now.passage += 1
        if file is not None:
            file.write(engine, now, is_last=now.passage == passages)
    means_percent, contrast_percent = map(percent_of_first, (now.means, now.contrasts))
    ended_s = (2 * np.arange(len(now.means)) + 1) * length / spec.fps
    slope, (low, high) = percent_a_minute(ended_s, np.array(now.means))
    inside = changes_of(np.asarray(clip.sim[:length]), is_border)[0]
    curve = {
        "seconds": ended_s.tolist(),
        "colour_percent": means_percent,
        "contrast_percent": contrast_percent,
    }
    return {
        "curve": curve,
        "chunks": now.chunks,
        "seconds": passages * length / spec.fps,
        "first_passage_db": now.psnr_db[0],
        "last_passage_db": now.psnr_db[1],
        "colour_shift_levels": float(np.abs(now.means[-1] - now.means[0]).max()),
        "colour_percent": means_percent[-1],
        "contrast_percent": contrast_percent[-1],
        "worst_colour_percent": max(means_percent),
        "worst_contrast_percent": max(contrast_percent),
        "percent_a_minute": slope,
        "percent_a_minute_low": low,
        "percent_a_minute_high": high,
        "palette_drift": wander(np.zeros((len(now.palettes), 6)), np.array(now.palettes)),
        **_part("first", ended_s < PART_S, now, inside),
        **_part("last", ended_s > ended_s[-1] - PART_S, now, inside),
    }


def _part(
    name: str,
    chosen: NDArray[np.bool_],  # (P,)
    now: Progress,
    render_change: float,
) -> dict[str, float]:
    """Return flicker, seam ratio and memory of some passages."""
    inside, across = np.array(now.changes)[chosen].mean(0)
    return {
        f"{name}_flicker_ratio": float(inside / render_change) if render_change else np.nan,
        f"{name}_seam_ratio": float(across / inside) if inside else np.nan,
        f"{name}_memory_mib": float(np.array(now.memory_mib)[chosen].mean()),
    }


def changes_of(
    frames: NDArray[np.uint8],  # (T, H, W, 3)
    is_border: NDArray[np.bool_],  # (T - 1,) whether a chunk begins behind each frame but the last
) -> NDArray[np.float64]:
    """Return the mean change from frame to frame, inside chunks and across their borders, levels.

    NaN where there is none.
    """
    change = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean((1, 2, 3))
    parts = change[~is_border], change[is_border]
    return np.array([part.mean() if part.size else np.nan for part in parts])


def percent_a_minute(
    seconds: NDArray[np.float64],  # (P,)
    means: NDArray[np.float64],  # (P, 3)
) -> tuple[float, tuple[float, float]]:
    """Return the steepest slope of a channel's mean, percent of its mean, and its interval.

    The interval holds 95 percent of the slopes of resampled blocks of BLOCK_S (see `summarize`),
    NaN where there is one block.
    """
    one = np.zeros(len(seconds), np.int64)  # drive
    size = max(1, round(BLOCK_S / float(seconds[1] - seconds[0])))
    owners = blocks(one, size)
    weights = resampled(owners, one, np.random.default_rng(0), RESAMPLES)[:, owners]  # (R, P)
    weights = weights / weights.sum(1, keepdims=True)
    minutes, percent = seconds / 60.0, 100.0 * means / means.mean(0)
    apart = minutes - (weights @ minutes)[:, None]  # (R, P)
    spread = (weights * apart**2).sum(1)
    slopes = (weights * apart) @ percent / np.where(spread > 0, spread, np.nan)[:, None]  # (R, 3)
    steepest = int(np.abs(slopes[0]).argmax())
    return float(slopes[0, steepest]), interval(slopes[1:, steepest])


@dataclass(kw_only=True)
class RolloutFile:
    """The file of a rollout's progress and the engine's memory, written every half a minute.

    Attributes:
        path: of the file (.npz). key: all that the rollout depends on, in words.
    """

    path: Path
    key: str
    _written_at: float = field(default_factory=time.monotonic)

    def read(self, engine: Engine, fresh: Progress) -> Progress:
        """Return what was kept and have the engine recall its memory; else what is fresh."""
        if not isinstance(engine, RememberingEngine) or not self.path.is_file():
            return fresh
        with np.load(self.path) as file:
            kept = dict(file)
        if str(kept["key"]) != self.key:
            return fresh
        engine.recall(
            {name.removeprefix(MEMORY): x for name, x in kept.items() if name.startswith(MEMORY)}
        )
        return Progress(
            passage=int(kept["passage"]),
            chunks=int(kept["chunks"]),
            waiting=kept["waiting"],
            means=list(kept["means"]),
            contrasts=list(kept["contrasts"]),
            palettes=list(kept["palettes"]),
            changes=list(kept["changes"]),
            memory_mib=kept["memory_mib"].tolist(),
            psnr_db=kept["psnr_db"].tolist(),
        )

    def write(self, engine: Engine, now: Progress, *, is_last: bool) -> None:
        """Keep the progress, if it is time or the last passage, and the engine can be stored."""
        if not isinstance(engine, RememberingEngine):
            return
        if not is_last and time.monotonic() - self._written_at < KEEP_EVERY_S:
            return
        memory = {f"{MEMORY}{name}": array for name, array in engine.memory().items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path, sync=False) as part, part.open("wb") as file:
            np.savez(file, key=np.array(self.key), **vars(now), **memory)  # type: ignore[arg-type]
        self._written_at = time.monotonic()


def percent_of_first(values: Sequence[NDArray[np.float64]]) -> list[float]:
    """Return each entry's largest change from the first, in percent of the first."""
    return [float(100.0 * (np.abs(value - values[0]) / values[0]).max()) for value in values]


def drift_plot(curve: Mapping[str, Sequence[float]]) -> str:
    """Return a drift's `curve` as SVG."""
    lines = {name: (curve["seconds"], curve[f"{name}_percent"]) for name in ("colour", "contrast")}
    plot = line_plot(
        lines, title="Drift from the first passage, percent", across="second", from_zero=True
    )
    return plot.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
