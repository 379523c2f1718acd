"""Reads packed latents for the trainer: the clips of a split, with their shapes and weights."""

from __future__ import annotations

from pathlib import Path

from realmaster_live.errors import PairError
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.iclora.batches import LatentPair, Shape
from realmaster_live.training.iclora.train import Data
from realmaster_live.training.pairs.shards import BUCKET, INDEX, Shards

TRAINING, VALIDATION = "train", "val"


class ShardClips:
    """The clips of one split of packed shards."""

    def __init__(self, shards: Shards, split: str) -> None:
        columns = shards.index.to_pydict()
        rows = [i for i, each in enumerate(columns["split"]) if each == split]
        self.shards, self.rows = shards, rows
        self.shapes = [shape_of(columns["bucket"][i]) for i in rows]
        self.weights = [float(columns["weight"][i]) for i in rows]
        self.drives = [columns["clip_id"][i].rsplit("-", 2)[0] for i in rows]  # NAME-PLACE-HASH

    def read(self, index: int) -> LatentPair:
        """Return a clip's latents."""
        return self.shards.read(self.rows[index])


def shape_of(bucket: str) -> Shape:
    """Parse channels, latent frames, rows and columns from a bucket's name."""
    channels, frames, rows, columns = (int(part) for part in bucket.split(BUCKET))
    return channels, frames, rows, columns


def open_data(folder: Path) -> Data:
    """Open packed shards: a folder with an index, or a data set with one in `shards`."""
    folder = folder / "shards" if (folder / "shards").is_dir() else folder
    if not (folder / INDEX).is_file():
        raise PairError(
            f"expected packed shards with {INDEX} in {folder}, got none: run realmaster pairs pack"
        )
    shards = Shards(folder)
    training, validation = (ShardClips(shards, split) for split in (TRAINING, VALIDATION))
    return Data(
        training=training,
        validation=validation if validation.rows else None,
        sha256=sha256_of(folder / INDEX),
        empty_text=shards.empty_text,
        autoencoder_sha256=shards.autoencoder_sha256,
    )
