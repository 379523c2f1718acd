"""Random access to packed latents: the index holds the shard and offset of every clip.

Legend: C latent channels, F latent frames, h w latent height and width, M tokens of a caption.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.inside import SafeFolder
from realmaster_live.training.pairs.manifest import read_table
from realmaster_live.training.pairs.texts import read_text

pa = require("pyarrow", extra="training")

INDEX, TEXTS = "index.parquet", "texts"
AUTOENCODER = "autoencoder_sha256"  # in the index's metadata
EMPTY_TEXT = "empty_text"  # in the index's metadata: the key of the empty caption's embedding
BUCKET = "x"  # between the sides of a shape
INDEX_SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("split", pa.string()),  # train, val or test
        ("bucket", pa.string()),  # CxFxhxw
        ("shard", pa.string()),  # path below the folder
        ("offset", pa.int64()),  # of the safetensors file in the shard
        ("bytes", pa.int64()),
        ("prompt", pa.string()),
        ("text_key", pa.string()),  # of texts/<key>.safetensors, or ""
        ("weight", pa.float64()),
        ("sha256", pa.string()),  # of the safetensors file
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentPair:
    """The latents of one clip.

    Attributes:
        clip_id: its name. prompt: its caption.
        reference: (C, F, h, w) float16 of the render, normalised.
        target: (C, F, h, w) float16 of the photoreal clip, normalised.
        text: (M, channels) float32 embedding of the caption, None where it was not embedded.
    """

    clip_id: str
    prompt: str
    reference: Tensor
    target: Tensor
    text: Tensor | None


class Shards:
    """A folder of shards that `pack` wrote.

    Args:
        folder: where index.parquet is.
        verify: compare every file with its checksum as it is read.

    Raises:
        PairError: there is no index, or it is damaged.
    """

    def __init__(self, folder: Path | str, *, verify: bool = False) -> None:
        self.folder, self.verify = SafeFolder(folder, error=PairError), verify
        path = self.folder.path / INDEX
        self.index: Any = read_table(path, INDEX_SCHEMA, remedy="run realmaster pairs pack")
        self._text = cache(self._read_text)

    def __len__(self) -> int:
        """Return the number of clips."""
        return int(self.index.num_rows)

    @property
    def empty_text(self) -> Tensor | None:
        """Return the embedding of the empty caption, None where captions were not embedded."""
        key = (self.index.schema.metadata or {}).get(EMPTY_TEXT.encode(), b"").decode()
        return self._text(key) if key else None

    @property
    def autoencoder_sha256(self) -> str:
        """Return the hash of the autoencoder's file that made the latents; "" if unknown."""
        metadata: dict[bytes, bytes] = self.index.schema.metadata or {}
        return metadata.get(AUTOENCODER.encode(), b"").decode()

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.index.to_pylist()
        return rows

    def read(self, index: int) -> LatentPair:
        """Return the clip of a row of the index.

        Raises:
            PairError: its shard is damaged or missing.
        """
        row = self._rows[index]
        path = self.folder.file(row["shard"])
        try:
            with path.open("rb") as file:
                file.seek(row["offset"])
                content = file.read(min(row["bytes"], path.stat().st_size))
            if self.verify and hashlib.sha256(content).hexdigest() != row["sha256"]:
                raise ValueError("other bytes than were packed")
            tensors = load(content)
            reference, target = tensors["reference"], tensors["target"]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise PairError(
                f"expected the latents of {row['clip_id']} in the shard {path}, got {error}: run "
                "realmaster pairs pack again, or copy the shard again"
            ) from error
        return LatentPair(
            clip_id=row["clip_id"],
            prompt=row["prompt"],
            reference=reference,
            target=target,
            text=self._text(row["text_key"]) if row["text_key"] else None,
        )

    def _read_text(self, key: str) -> Tensor:
        return read_text(self.folder.file(f"{TEXTS}/{key}.safetensors"))
