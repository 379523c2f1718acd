"""The last step: latents as tar shards with an index, for training here or elsewhere.

Shards are in WebDataset's layout: `<clip>.safetensors` and `<clip>.json` stand together. A shard
holds clips of one split and one shape, in an order that is mixed but always the same, so the same
clips give the same bytes. The index is removed first and written last: where there is one, it fits.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.jobs.work import DONE
from realmaster_live.optional import require
from realmaster_live.system.atomic_files import part_of, settle, write_bytes
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import Row, write_table
from realmaster_live.training.pairs.shards import BUCKET, EMPTY_TEXT, INDEX, INDEX_SCHEMA, TEXTS
from realmaster_live.training.pairs.split import SPLITS, read_split
from realmaster_live.training.pairs.stage import Clip
from realmaster_live.training.pairs.store import object_path
from realmaster_live.training.pairs.texts import EMPTY, key_of
from realmaster_live.training.pairs.verdicts import read_verdict

pa = require("pyarrow", extra="training")

SUFFIX = ".safetensors"
PACKED = re.compile(r"[0-9x]+/(train|val|test)-\d{6,}\.tar|texts/[0-9a-f]{64}\.safetensors")
FORMAT: Literal[0] = tarfile.USTAR_FORMAT


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """Table [pack].

    Attributes:
        shard_mb: size from which a shard is followed by another, megabytes.
        gated: leave out what the gate rejected or has not judged; false packs all that is encoded.
    """

    shard_mb: float = 256.0
    gated: bool = True

    def __post_init__(self) -> None:
        """Refuse shards without a size."""
        if not self.shard_mb > 0:
            raise ConfigError(f"expected shard_mb above 0, got {self.shard_mb}: 256 is usual")


@dataclass(frozen=True, kw_only=True)
class PackReport:
    """What `pack` wrote.

    Attributes:
        clips: (split, bucket) -> clips. shards: files. bytes: of all shards.
        left_out: reason -> clips.
    """

    clips: Mapping[tuple[str, str], int]
    shards: int
    bytes: int
    left_out: Mapping[str, int]

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        total = sum(self.clips.values())
        lines = [f"{total} clips in {self.shards} shards, {self.bytes / 1e6:.1f} MB"]
        lines += [f"{split}: {count} clips of {b}" for (split, b), count in self.clips.items()]
        return lines + [f"{count} clips left out: {why}" for why, count in self.left_out.items()]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip to pack: where its latents are, and what is known of them."""

    clip: Clip
    row: Row
    path: Path
    split: str
    weight: float

    @property
    def bucket(self) -> str:
        """Return the shape of the latents."""
        shape = self.row.facts.get("shape")
        if not isinstance(shape, list) or not all(type(side) is int for side in shape):
            raise PairError(
                f"expected the shape of the latents of {self.clip.clip_id} in the manifest, got "
                f"{shape!r}: delete {self.path} and run realmaster pairs encode again"
            )
        return BUCKET.join(map(str, shape))

    @property
    def text_key(self) -> str:
        """Return the key of the caption's embedding, or ""."""
        return str(self.row.facts.get("text_key", ""))

    def described(self) -> bytes:
        """Return what stands beside the latents in a shard."""
        clip = self.clip
        facts = {
            "clip_id": clip.clip_id,
            "prompt": clip.prompt,
            "text_key": self.text_key,
            "split": self.split,
            "weight": self.weight,
            "fps": clip.fps,
            "town": clip.town,
            "weather": clip.weather,
            "licence": clip.licence,
        }
        return json.dumps(facts, sort_keys=True).encode()


def pack(dataset: Path, config: PackConfig) -> PackReport:
    """Write all encoded clips that passed the gate into DATASET/shards.

    Raises:
        PairError: there is none, or the dataset was not split.
    """
    entries, left_out = _entries(dataset, config)
    if not entries:
        reasons = "; ".join(f"{count} {why}" for why, count in left_out.items())
        raise PairError(
            f"expected clips to pack in {dataset}, got none ({reasons}): run realmaster pairs run "
            f"{dataset}"
        )
    folder = dataset / "shards"
    (folder / INDEX).unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    written: dict[Path, int] = {}
    for place, content in _shards(entries, config.shard_mb):
        path = folder / place
        with part_of(path) as part:
            rows += _write_shard(part, place, content)
            written[path] = settle(part, path).bytes
    text_keys = {entry.text_key for entry in entries} - {""}
    empty = _empty_text(dataset) if text_keys else ""
    for key in sorted(text_keys | {empty} - {""}):
        path = folder / TEXTS / f"{key}{SUFFIX}"
        embedding = object_path(dataset, key, SUFFIX).read_bytes()
        write_bytes(path, embedding)
        written[path] = len(embedding)
    for old in (*folder.glob("*/*.tar"), *folder.glob(f"{TEXTS}/*")):
        if old not in written and PACKED.fullmatch(old.relative_to(folder).as_posix()):
            old.unlink()
    models = sorted({(entry.row.model, entry.row.model_sha256) for entry in entries})
    metadata = {"autoencoder": models[0][0], "autoencoder_sha256": models[0][1], EMPTY_TEXT: empty}
    write_table(
        folder / INDEX, pa.Table.from_pylist(rows, schema=INDEX_SCHEMA.with_metadata(metadata))
    )
    shards = [size for path, size in written.items() if path.suffix == ".tar"]
    counts = Counter((row["split"], row["bucket"]) for row in rows)
    return PackReport(
        clips=dict(counts), shards=len(shards), bytes=sum(shards), left_out=dict(left_out)
    )


def _empty_text(dataset: Path) -> str:
    """Return the key of the empty caption's embedding, which training drops captions to."""
    config = Chain(dataset).recipe.config("encode")
    return key_of(EMPTY, encoder=config.text_encoder, tokens=config.text_tokens)


def _entries(dataset: Path, config: PackConfig) -> tuple[list[Entry], Counter[str]]:
    """Return what is to be packed, in its order, and why how many clips are not."""
    chain, splits = Chain(dataset), read_split(dataset)
    encoded = chain.rows("encode")
    verdicts = chain.rows("gate") if config.gated else {}
    entries: list[Entry] = []
    left_out: Counter[str] = Counter()
    for clip in chain.clips:
        row, weight = encoded.get(clip.clip_id), 1.0
        if row is None or row.status != DONE:
            left_out["not encoded"] += 1
            continue
        if clip.clip_id not in splits:
            left_out["in no split: run realmaster pairs split again"] += 1
            continue
        if config.gated:
            judged = verdicts.get(clip.clip_id)
            if judged is None or judged.status != DONE:
                left_out["not judged by the gate"] += 1
                continue
            verdict = read_verdict(chain.path("gate", clip))
            if not verdict.passed:
                why = ", ".join(verdict.failed or verdict.reasons)
                left_out[f"rejected by the gate for {why}"] += 1
                continue
            weight = verdict.weight
        entries.append(
            Entry(
                clip=clip,
                row=row,
                path=chain.path("encode", clip),
                split=splits[clip.clip_id],
                weight=weight,
            )
        )
    mixed = {e.clip.clip_id: hashlib.sha256(e.clip.clip_id.encode()).digest() for e in entries}
    entries.sort(key=lambda e: (SPLITS.index(e.split), e.bucket, mixed[e.clip.clip_id]))
    return entries, left_out


def _shards(entries: Sequence[Entry], shard_mb: float) -> Iterator[tuple[str, list[Entry]]]:
    """Yield the place of every shard below the folder, and what it holds."""
    waiting: list[Entry] = []
    number, size = 0, 0
    for index, entry in enumerate(entries):
        waiting.append(entry)
        size += entry.row.bytes
        following = entries[index + 1] if index + 1 < len(entries) else None
        kind = (entry.split, entry.bucket)
        is_last = following is None or (following.split, following.bucket) != kind
        if is_last or size >= shard_mb * 1e6:
            yield f"{entry.bucket}/{entry.split}-{number:06d}.tar", waiting
            waiting, size = [], 0
            number = 0 if is_last else number + 1


def _write_shard(path: Path, place: str, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Write a tar whose bytes depend on its content alone; yield the rows of the index."""
    with tarfile.open(path, "w", format=FORMAT) as tar:
        for entry in entries:
            latents = entry.path.read_bytes()
            sha256 = hashlib.sha256(latents).hexdigest()
            if sha256 != entry.row.sha256:
                raise PairError(
                    f"expected {entry.path} as it was encoded, got other bytes: delete it and run "
                    "realmaster pairs encode again"
                )
            offset = _add(tar, f"{entry.clip.clip_id}{SUFFIX}", latents)
            _add(tar, f"{entry.clip.clip_id}.json", entry.described())
            yield {
                "clip_id": entry.clip.clip_id,
                "split": entry.split,
                "bucket": entry.bucket,
                "shard": place,
                "offset": offset,
                "bytes": len(latents),
                "prompt": entry.clip.prompt,
                "text_key": entry.text_key,
                "weight": entry.weight,
                "sha256": sha256,
            }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a file; returns where its content begins."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    offset = tar.offset + len(entry.tobuf(FORMAT))
    tar.addfile(entry, io.BytesIO(content))
    return offset
