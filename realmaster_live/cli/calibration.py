"""The clips by which `build` and `export` calibrate a precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realmaster_live.errors import BuildError, PairError
from realmaster_live.system.contents import classify_file

if TYPE_CHECKING:
    from realmaster_live.engines.export.quantize import Sample


def read_clips(path: Path) -> Sequence[Sample]:
    """Return the training clips of a folder, or else those that validate, or a file's frames."""
    import numpy as np

    from realmaster_live.engines.export.quantize import Rendered
    from realmaster_live.training.data import find_clips

    if path.is_dir():
        try:
            return find_clips(path, "training")
        except PairError:
            return find_clips(path, "validation")
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        got, remedy = classify_file(path, str(error), "give one of them")
        raise BuildError(
            f"expected a folder of pairs or a .npy at {path}, got {got}: {remedy}"
        ) from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise BuildError(
            f"expected frames (T, H, W, 3) uint8 in {path}, got {frames.shape} {frames.dtype}: "
            "save RGB pictures as bytes"
        )
    return [Rendered(sim=frames)]
