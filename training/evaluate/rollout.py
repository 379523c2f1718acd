"""Drift over a long rollout: a clip is played forwards and backwards without a reset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.errors import PairError
from realmaster_live.protocols import Engine
from realmaster_live.training.data import Clip
from realmaster_live.training.evaluate.metrics import psnr
from realmaster_live.training.evaluate.pictures import as_chunk

ROLLOUT_S = 60.0


def drift(engine: Engine, clip: Clip, seconds: float = ROLLOUT_S) -> dict[str, float]:
    """Play a clip forwards and backwards for `seconds`; compare its passages with the first one.

    Only forward passages are compared, since they show the same frames in the same order. The
    result holds the PSNR (dB) of the first and of the last passage, the largest shift of a
    channel's mean in levels and in percent of the first passage's, and that of its contrast
    (standard deviation) in percent. Figures that begin with `worst_` are the largest of all
    passages; the others are of the last one.
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
    engine.reset()
    spans = chunk_spans(spec, passages * length + spec.frames)  # chunks may end behind a passage
    chunks, waiting = 0, np.empty((0, *clip.sim.shape[1:]), np.uint8)
    means, contrasts, first_and_last = [], [], []
    for passage in range(passages):
        while len(waiting) < length:
            span = spans[chunks]
            times = there_and_back[np.arange(span.start, span.stop) % len(there_and_back)]
            chunk = as_chunk(clip.sim[times], chunks, span.start, spec.fps)
            waiting = np.concatenate((waiting, engine.realize(chunk).frames))
            chunks += 1
        made, waiting = waiting[:length], waiting[length:]
        if passage % 2 == 0:
            means.append(made.mean((0, 1, 2)))
            contrasts.append(made.std((0, 1, 2)))
        if passage in (0, passages - 1):
            first_and_last.append(float(np.mean(psnr(made, truth))))
    means_percent, contrast_percent = percent_of_first(means), percent_of_first(contrasts)
    return {
        "chunks": chunks,
        "seconds": passages * length / spec.fps,
        "first_passage_db": first_and_last[0],
        "last_passage_db": first_and_last[1],
        "colour_shift_levels": float(np.abs(means[-1] - means[0]).max()),
        "colour_percent": means_percent[-1],
        "contrast_percent": contrast_percent[-1],
        "worst_colour_percent": max(means_percent),
        "worst_contrast_percent": max(contrast_percent),
    }


def percent_of_first(values: Sequence[NDArray[np.float64]]) -> list[float]:
    """Return each entry's largest change from the first, in percent of the first."""
    return [float(100.0 * (np.abs(value - values[0]) / values[0]).max()) for value in values]
