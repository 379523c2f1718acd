"""One pass of an engine over a drive whose prompt changes on the way, measured frame by frame.

Legend: H W pixels, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.judge import Judge
from realmaster_live.fidelity.measure import REQUIRED_LABELS, measure
from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.chunker import Chunker
from realmaster_live.protocols import PromptedEngine
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.motion import frame_motion
from realmaster_live.training.evaluate.drives.sources import DriveSource
from realmaster_live.training.evaluate.drives.track import WARP, changes

TRUST = ("edges", "depth_order", "semantics", "boxes", "lights")
TRUST_EVERY = 4  # frames; neighbouring ones are alike
LEAST_SCORED = 6  # frames that a mean score is of: a lamp that is seen in fewer says little


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the prompt in mid-sequence.

    Attributes:
        prompt: the new one. at: index of the first chunk that is not the old one's alone.
        fade: chunks that mix both.
    """

    prompt: str
    at: int
    fade: int

    @property
    def settled(self) -> int:
        """Return the index of the first chunk of the new prompt alone."""
        return self.at + self.fade


@dataclass(kw_only=True)
class Pass:
    """What was measured of a pass; lists are by frame.

    Attributes:
        chunk: its chunk. starts: whether a frame begins it. warp: change along the motion since the
            frame before, levels, NaN where there is none. trust: agreement with labels by score,
            of every few frames, NaN of others. named: weather that the judge saw, by chunk.
    """

    chunk: list[int]
    starts: list[bool]
    warp: list[float]
    trust: dict[str, list[float]]
    named: list[str]

    def borders(self) -> dict[int, float]:
        """Return chunk -> change across the border before it over changes inside it and before.

        The seam ratio of one border, see `realmaster evaluate recording`.
        """
        chunk, starts = np.array(self.chunk), np.array(self.starts)
        warp, found = np.array(self.warp), {}
        for index in np.unique(chunk):
            inside = warp[~starts & ((chunk == index) | (chunk == index - 1))]
            across = warp[starts & (chunk == index)]
            if np.isfinite(across).all() and np.isfinite(inside).any():
                found[int(index)] = float(across[0] / np.nanmean(inside))
        return found

    def mean_trust(self, first: int) -> dict[str, float]:
        """Return the mean of each score from a chunk on, NaN where too few frames say it."""
        later = np.array(self.chunk) >= first
        means = {}
        for name, values in self.trust.items():
            known = np.array(values)[later]
            known = known[np.isfinite(known)]
            means[name] = float(known.mean()) if known.size >= LEAST_SCORED else float("nan")
        return means


def run(
    engine: PromptedEngine,
    source: DriveSource,
    first: str,
    change: Change | None,
    *,
    frames: int,
    name: Callable[[NDArray[np.uint8]], str],
    judge: Judge | None,
    watch: Callable[[Sample, NDArray[np.uint8], Chunk], object] = lambda sample, picture, chunk: 0,
) -> Pass:
    """Realize a drive under one prompt, which may change into another, and measure it.

    Args:
        engine: what realizes it, from a reset on.
        source: the drive, with labels.
        first: its prompt.
        change: into another one, on the way.
        frames: how many of the drive's.
        name: names the weather of a chunk's frames.
        judge: a network that judges labels besides.
        watch: is called with every frame, realized, and its chunk.
    """
    found = Pass(chunk=[], starts=[], warp=[], trust={each: [] for each in TRUST}, named=[])
    engine.reset()
    engine.set_prompt(first)
    before: tuple[Sample, NDArray[np.uint8]] | None = None
    for index, (chunk, samples) in enumerate(chunks(engine, source, frames)):
        if change is not None and index == change.at:
            engine.set_prompt(change.prompt, change.fade)
        made = engine.realize(chunk)
        found.named.append(name(made.frames))
        for place, (sample, picture) in enumerate(zip(samples, made.frames, strict=True)):
            warp = float("nan")
            if before is not None and sample.frame_id == before[0].frame_id + 1:
                motion = frame_motion(sample, before[0])
                warp = changes(before[1], picture, motion)[WARP]
            found.chunk.append(index)
            found.starts.append(place == 0)
            found.warp.append(warp)
            _add_trust(found, sample, picture, judge)
            watch(sample, picture, made)
            before = sample, picture
    return found


def chunks(
    engine: PromptedEngine, source: DriveSource, frames: int
) -> Iterator[tuple[Chunk, list[Sample]]]:
    """Yield the chunks of a drive's first frames with the samples of their frames."""
    chunker, waiting = Chunker(engine.spec), dict[int, Sample]()
    for sample in islice(source.samples(), frames):
        waiting[sample.frame_id] = sample
        chunk = chunker.push(sample.frame)
        if chunk is not None:
            yield chunk, [waiting[int(number)] for number in chunk.frame_ids]
            waiting.clear()


def _add_trust(
    found: Pass, sample: Sample, picture: NDArray[np.uint8], judge: Judge | None
) -> None:
    scores = dict.fromkeys(TRUST, float("nan"))
    labelled = any(name in sample.labels for name in REQUIRED_LABELS)
    if labelled and (len(found.chunk) - 1) % TRUST_EVERY == 0:
        # another weather looks otherwise than the render on purpose
        trust = measure(
            sample.image, picture, sample.labels, sample.frame.objects, judge=judge, look=False
        )
        scores = {name: float(getattr(trust, name)) for name in TRUST}
    for name, score in scores.items():
        found.trust[name].append(score)
