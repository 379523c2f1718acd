"""The pictures of a dataset as files that training on pixels reads, as `pairs render` writes them.

```
FOLDER/<clip>.sim.npy, <clip>.truth.npy (T, H, W, 3) uint8, <clip>.json
```
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.system.atomic_files import replacing, write_json
from realmaster_live.training.data import HELD_OUT_FROM, VALIDATION_FROM
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.shards import INDEX
from realmaster_live.training.pairs.sources import read_frames
from realmaster_live.training.pairs.split import read_split
from realmaster_live.training.pairs.stage import Clip
from realmaster_live.training.pairs.verdicts import read_verdicts
from realmaster_live.training.pairs.videos import read_video

logger = logging.getLogger(__name__)

SEEDS = {"train": 0, "val": VALIDATION_FROM, "test": HELD_OUT_FROM}  # which stand for the splits
CHANNELS, SIDES = 3, 2


def folder_of_pairs(data: Path, aside: Path) -> Path:
    """Return a folder of pairs: `data`, or `aside` with the pictures of the dataset `data`.

    Raises:
        PairError: `data` holds latents alone.
    """
    if (data / "manifest" / "clips.parquet").is_file():
        write_pairs(data, aside)
        return aside
    if (data / INDEX).is_file():
        raise PairError(
            f"expected pairs with pictures in {data}, got packed latents: give the folder of the "
            "dataset, of which these are the shards, or one that realmaster pairs render wrote"
        )
    return data


def write_pairs(dataset: Path, folder: Path) -> None:
    """Write the clips that would be packed, as pictures; keep those that are there.

    Clips of an earlier state of the dataset are taken out.
    """
    chain, splits = Chain(dataset), read_split(dataset)
    photos = chain.finished("propagate")
    wanted = photos.keys() & splits.keys()
    if chain.recipe.config("pack").gated:
        wanted &= {name for name, verdict in read_verdicts(dataset).items() if verdict.passed}
    clips = [clip for clip in chain.clips if clip.clip_id in wanted]
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.stem not in wanted:
            path.unlink()
    missing = [clip for clip in clips if not (folder / f"{clip.clip_id}.json").exists()]
    size = sum(SIDES * c.frames * c.height * c.width * CHANNELS for c in missing)
    if missing:
        logger.info("writing %d clips to %s, %.1f GB", len(missing), folder, size / 1e9)
    for clip in missing:
        _write(clip, photos[clip.clip_id], folder, SEEDS[splits[clip.clip_id]])


def _write(clip: Clip, photo: Path, folder: Path, seed: int) -> None:
    """Write one clip, its description last."""
    films: dict[str, NDArray[np.uint8]] = {"sim": read_frames(clip), "truth": read_video(photo)}
    if films["sim"].shape != films["truth"].shape:
        raise PairError(
            f"expected a photoreal clip of {films['sim'].shape} for {clip.clip_id}, got "
            f"{films['truth'].shape}: propagate it again"
        )
    for name, film in films.items():
        with (
            replacing(folder / f"{clip.clip_id}.{name}.npy", sync=False) as part,
            part.open("wb") as file,
        ):
            np.save(file, film)
    write_json(folder / f"{clip.clip_id}.json", {"seed": seed, "prompt": clip.prompt})
