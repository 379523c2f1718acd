"""Packs clips into tar shards to move them to another machine, and unpacks them.

`python -m realmaster_live.training.pack pack DIR --out SHARDS` writes `pairs-0000.tar`, ... in
WebDataset's layout: files of one clip are adjacent and share the clip's name. Frames are WebP,
at a tenth of the size of the arrays and a PSNR above 38 dB. `unpack SHARDS --out DIR` restores the
arrays.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.system.atomic_files import replacing
from realmaster_live.training.data import clip_files

KINDS: Mapping[str, int] = {"sim": 95, "truth": 90}  # WebP quality; the render is an input


def encode(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Return a picture (H, W, 3) as WebP."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return data.tobytes()


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) of a WebP file; PairError where it is damaged."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise PairError(f"expected a picture in {name}, got {len(data)} other bytes: pack it again")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def files_of(description: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of a clip's files in a shard."""
    clip = description.stem
    for kind, quality in KINDS.items():
        for index, picture in enumerate(np.load(description.with_name(f"{clip}.{kind}.npy"))):
            yield f"{clip}.{kind}.{index:03d}.webp", encode(picture, quality)
    yield f"{clip}.json", description.read_bytes()


def pack(data: Path, out: Path, *, shard_mb: float) -> list[Path]:
    """Write all finished clips of a folder into shards of about `shard_mb`; return the shards."""
    descriptions = clip_files(data)
    if not descriptions:
        raise PairError(f"expected finished clips in {data}, got none: make pairs there")
    out.mkdir(parents=True, exist_ok=True)
    shards: list[Path] = []
    waiting = [*reversed(descriptions)]
    while waiting:
        shards.append(out / f"pairs-{len(shards):04d}.tar")
        written = 0
        with replacing(shards[-1]) as part, tarfile.open(part, "w") as tar:
            while waiting and written < shard_mb * 1e6:
                for name, content in files_of(waiting.pop()):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    written += entry.size
                    tar.addfile(entry, io.BytesIO(content))
    return shards


def unpack(shard: Path, out: Path) -> int:
    """Write a shard's clips to a folder, each description last; return their number."""
    out.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, list[NDArray[np.uint8]]] = {kind: [] for kind in KINDS}
    count = 0
    try:
        with tarfile.open(shard) as tar:
            for entry in tar:
                file = tar.extractfile(entry)
                name = Path(entry.name).name
                content = file.read() if file else b""
                if not name.endswith(".json"):
                    pictures[name.split(".")[-3]].append(decode(content, name))
                    continue
                clip = name.removesuffix(".json")
                for kind, frames in pictures.items():
                    np.save(out / f"{clip}.{kind}.npy", np.stack(frames))
                    frames.clear()
                (out / name).write_bytes(content)
                count += 1
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise PairError(f"expected a shard of clips in {shard}, got {error}: pack again") from error
    return count


def main(arguments: list[str] | None = None) -> None:
    """Pack a folder of clips, or unpack shards."""
    parser = argparse.ArgumentParser(prog="realmaster_live.training.pack", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack", help="clips to shards")
    packing.add_argument("data", type=Path)
    packing.add_argument("--out", type=Path, required=True)
    packing.add_argument("--shard-mb", type=float, default=40.0)
    unpacking = verbs.add_parser("unpack", help="shards to clips")
    unpacking.add_argument("shards", type=Path, nargs="+", help="tar files")
    unpacking.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.verb == "pack":
        for shard in pack(options.data, options.out, shard_mb=options.shard_mb):
            sys.stdout.write(f"wrote {shard}, {shard.stat().st_size / 1e6:.1f} MB\n")
        return
    for shard in options.shards:
        sys.stdout.write(f"{unpack(shard, options.out)} clips of {shard} in {options.out}\n")


if __name__ == "__main__":
    main()
