"""Rotary positions of tokens, computed on the host in float64 and given to the graphs.

Legend: N tokens of a chunk, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def rope_tables(
    times: Sequence[float],  # one per chunk, in chunks, 0 is the chunk being realized
    rows: int,
    columns: int,
    *,
    widths: Sequence[int],  # D over time, row and column
    theta: float,
    frames: int = 1,  # latent frames of a chunk
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cos and sin, each (len(times) * frames * rows * columns, D / 2) float32.

    Times are relative to the present chunk, so a run is unbounded: the chunk before is always -1.
    Positions count latent frames: frame f of the chunk at time t is at t * frames + f.
    """
    present = np.arange(frames, dtype=np.float64)
    frame_times = (np.asarray(times, np.float64)[:, None] * frames + present).reshape(-1, 1, 1)
    axes = (
        frame_times,
        np.arange(rows, dtype=np.float64)[None, :, None],
        np.arange(columns, dtype=np.float64)[None, None, :],
    )
    angles = [
        np.broadcast_to(axis, (len(frame_times), rows, columns))[..., None]
        * theta ** (-np.arange(0, width, 2, dtype=np.float64) / width)
        for axis, width in zip(axes, widths, strict=True)
    ]
    table = np.concatenate(angles, -1).reshape(-1, sum(widths) // 2)
    return np.cos(table).astype(np.float32), np.sin(table).astype(np.float32)
