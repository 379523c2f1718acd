"""The realized variant of clips' path-traced frames, cached on disk.

A clip is realized chunk by chunk from its first frame, like a live drive.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.load import load_engine
from realmaster_live.errors import PairError
from realmaster_live.protocols import Engine
from realmaster_live.system.atomic_files import replacing
from realmaster_live.training.evaluate.pictures import Known, realize_frames
from realmaster_live.training.perception.examples import REAL, Example, LabelledClip

logger = logging.getLogger(__name__)


def engine_key(name: str) -> str:
    """Return an engine's name with the first digits of the SHA-256 of its files."""
    folder = EMBEDDED_FOLDER if name == "embedded" else Path(name)
    digest = hashlib.sha256(name.encode())
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
    return f"{Path(name).name}-{digest.hexdigest()[:12]}"


def with_realized(
    clips: Sequence[LabelledClip],
    examples: Sequence[Sequence[Example]],  # of each clip
    cache: Path,
    engine: str,
    *,
    threads: int = 0,
) -> list[list[Example]]:
    """Return the examples with realized pictures, from `cache`, or computed and stored there."""
    folder = cache / engine_key(engine)
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{clip.name}-{_content(clip)}.npz" for clip in clips]
    missing = [place for place, path in enumerate(made) if not _has_frames(path, examples[place])]
    if missing:
        shape = next(iter(examples[missing[0]][0].pictures.values())).shape
        loaded = load_engine(engine, width=shape[1], height=shape[0], threads=threads)
        try:
            for count, place in enumerate(missing):
                frames = _frame_numbers(examples[place])
                pictures = _realize(loaded, clips[place], frames)
                _save(made[place], dict(zip(map(str, frames), pictures, strict=True)))
                logger.info("realized %s, %d of %d", clips[place].name, count + 1, len(missing))
        finally:
            loaded.close()
    whole = []
    for path, its in zip(made, examples, strict=True):
        with np.load(path) as kept:
            whole.append(
                [
                    example.with_picture(REAL, kept[str(frame)])
                    for example, frame in zip(its, _frame_numbers(its), strict=True)
                ]
            )
    return whole


def _content(clip: LabelledClip) -> str:
    """Return the first digits of the SHA-256 of a clip's render and facts, which tell its light."""
    digest = hashlib.sha256(clip.file("sim.npy").read_bytes())
    digest.update(clip.path.read_bytes())
    return digest.hexdigest()[:12]


def _frame_numbers(examples: Sequence[Example]) -> list[int]:
    return [int(example.name.rpartition(":")[2]) for example in examples]


def _has_frames(path: Path, examples: Sequence[Example]) -> bool:
    if not path.is_file():
        return False
    with np.load(path) as kept:
        return set(map(str, _frame_numbers(examples))) <= set(kept)


def _realize(engine: Engine, clip: LabelledClip, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
    sim = np.load(clip.file("sim.npy"), mmap_mode="r")
    made = realize_frames(engine, sim, Known.stated(clip.facts, sim.shape[1:3]))
    if max(frames) >= len(made):
        raise PairError(
            f"expected frame {max(frames)} of {clip.path} in a whole chunk of {engine.spec.frames} "
            f"frames, got a clip of {len(sim)}: render clips whose length is a multiple of it"
        )
    return [made[frame] for frame in frames]


def _save(path: Path, pictures: dict[str, NDArray[np.uint8]]) -> None:
    with replacing(path, sync=False) as part, part.open("wb") as file:
        np.savez(file, **pictures)  # type: ignore[arg-type]
