"""Latents of synthetic clips: the target is the reference through a fixed mixture of channels."""

import hashlib
import io
import tarfile
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from safetensors.torch import save as serialize

from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.training.pairs.shards import BUCKET, INDEX, INDEX_SCHEMA


@dataclass(frozen=True)
class LatentClip:
    prompt: str
    reference: torch.Tensor  # (C, F, h, w)
    target: torch.Tensor
    text: torch.Tensor | None = None


class LatentClips:
    """Clips of one or several shapes in memory, as the trainer wants them."""

    def __init__(self, clips):
        self.clips = clips
        self.shapes = [tuple(clip.reference.shape) for clip in clips]
        self.weights = [1.0] * len(clips)
        self.drives = [""] * len(clips)

    def read(self, index):
        return self.clips[index]


def make_clips(count, *, seed, channels=8, frames=6, sizes=((4, 6),), prompts=("as simulated",),
               text=None):  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    mixture = torch.linalg.qr(
        torch.randn(channels, channels, generator=torch.Generator().manual_seed(99))
    )[0]
    clips = []
    for index in range(count):
        rows, columns = sizes[index % len(sizes)]
        still = torch.randn(channels, 1, rows, columns, generator=rng)
        reference = still + 0.2 * torch.randn(channels, frames, rows, columns, generator=rng)
        target = 0.7 * reference + 0.5 * torch.einsum("dc,cfhw->dfhw", mixture, reference)
        clips.append(LatentClip(prompts[index % len(prompts)], reference, target, text))
    return LatentClips(clips)


def write_base(folder, profile=TINY, seed=0):
    """Write a checkpoint of random weights in which every part has a say."""
    autoencoder, *transformers = random_networks(profile, torch.device("cpu"), seed=seed)
    save_checkpoint(folder, autoencoder, *transformers)
    return folder


def write_shards(folder, splits):
    """Write clips by split as the dataset's pack step does: tar files and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for split, clips in splits.items():
        shard = f"{split}.tar"
        with tarfile.open(folder / shard, "w") as tar:
            for index, clip in enumerate(clips.clips):
                latents = {"reference": clip.reference.half(), "target": clip.target.half()}
                content = serialize(latents)
                entry = tarfile.TarInfo(f"{split}{index}.safetensors")
                entry.size = len(content)
                start = tar.offset + tarfile.BLOCKSIZE
                tar.addfile(entry, io.BytesIO(content))
                rows.append({
                    "clip_id": f"{split}{index}", "split": split, "shard": shard, "offset": start,
                    "bucket": BUCKET.join(map(str, clip.reference.shape)), "bytes": len(content),
                    "prompt": clip.prompt, "text_key": "", "weight": 1.0,
                    "sha256": hashlib.sha256(content).hexdigest(),
                })  # fmt: skip
    parquet.write_table(pa.Table.from_pylist(rows, INDEX_SCHEMA), folder / INDEX)
    return folder
