"""WebDataset: shards of samples for streaming, by split.

    out/train/DRIVE-000000.tar    KEY.sim.jpg KEY.real.jpg KEY.semantic.npy.gz
                                  KEY.instance.npy.gz KEY.depth.npy.gz KEY.json
    out/dataset.json              the shards of each split, and what the files of a sample mean

Labels that were not recorded are missing from the samples. Label maps are compressed .npy files,
which WebDataset's decoders unpack by themselves, because they convert every .png to 8-bit RGB.
Optical flow is left out.
"""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.frame_facts import CARLA, facts_of
from realmaster_live.datasets.labels import Picture, labelled
from realmaster_live.datasets.selection import Drive, Selection, open_drives
from realmaster_live.datasets.shards import ShardWriter
from realmaster_live.datasets.summary import Summary, Tally
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.system.pictures import encode

isal_zlib = require("isal.isal_zlib", extra="export")
msgspec = require("msgspec", extra="live")

FORMAT = "webdataset"
NEEDS: tuple[str, ...] = ()
SHARD_BYTES = 512 * 2**20
GZIP = 31  # as zlib numbers its containers
LEVEL = 1  # of ISA-L: zlib's level 3 saves two per cent of the bytes and takes seven times as long
LABELS = ("semantic", "instance", "depth")
MEANINGS = {
    "sim.jpg": "the rendered picture, sRGB",
    "real.jpg": "the realized picture of the same frame, sRGB",
    "semantic.npy.gz": "(H, W) uint8: CARLA's class numbers",
    "instance.npy.gz": "(H, W) uint16: mask_id of an annotation in the json, 0 for none; a rider "
    "and the two-wheeler below share one and differ in semantic.npy.gz",
    "depth.npy.gz": "(H, W) float32: metres along the optical axis",
    "json": "camera, poses (4, 4) and K by rows, metres, seconds, annotations, trust, prompt",
}


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Summary:
    """Write a selection as WebDataset shards of at most `shard_bytes`.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, CARLA)
    if shard_bytes < 1:
        raise ConfigError(f"expected shards of 1 byte or more, got {shard_bytes}: leave it out")
    folder = ExportFolder(out, FORMAT, drives, selection, options)
    for drive in drives:
        with folder.drive(drive) as tally:
            if tally is None:
                continue
            with ShardWriter(out / drive.split, drive.name, shard_bytes, folder.written) as shards:
                for key, files in _samples(drive, folder, options, categories, tally):
                    shards.write(key, files)
            folder.write_part(drive, shards.counts)
    splits: dict[str, dict[str, int]] = {}
    for done, counts in folder.parts():
        splits.setdefault(done.split, {}).update(counts)
    card = {
        "format": FORMAT,
        "variant": selection.variant,
        "files": MEANINGS,
        "classes": CARLA.ids,
        "splits": {
            split: {"samples": sum(shards.values()), "shards": shards}
            for split, shards in splits.items()
        },
    }
    folder.write_text("dataset.json", json.dumps(card, indent=1) + "\n")
    return folder.finish()


def _samples(
    drive: Drive,
    folder: ExportFolder,
    options: ExportOptions,
    categories: Categories,
    tally: Tally,
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield key and files of each sample in order; a pool of threads encodes them in advance."""
    waiting: deque[Future[tuple[str, dict[str, bytes]]]] = deque()
    selection = folder.selection
    with ThreadPoolExecutor(max(1, options.threads), thread_name_prefix="rm-shards") as pool:
        for camera in drive.cameras:
            recorded = drive.recording.streams(camera)
            streams = [name for name in LABELS if name in recorded]
            pictures = labelled(drive, camera, selection, categories, tally, streams)
            while batch := list(islice(pictures, max(1, options.threads))):
                for one in batch:
                    folder.note(one.stem, drive, one.sample)
                    waiting.append(pool.submit(_encoded, one, selection, options.quality))
                while len(waiting) > 2 * options.threads:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _encoded(picture: Picture, selection: Selection, quality: int) -> tuple[str, dict[str, bytes]]:
    files = {
        f"{kind}.jpg": encode(pixels, ".jpg", quality)
        for kind, pixels in picture.views(selection.variant)
    }
    labels = picture.sample.frame.labels
    for name in LABELS:
        if name in labels:
            files[f"{name}.npy.gz"] = _as_file(name, labels[name])
    licence = ", ".join(picture.drive.licences(selection.variant))
    files["json"] = msgspec.json.encode({**facts_of(picture), "licence": licence})
    return picture.stem, files


def _as_file(name: str, label: NDArray[Any]) -> bytes:
    """Return the compressed .npy file of a label, as MEANINGS describes it."""
    whole = (label & 0xFFFF).astype(np.uint16) if name == "instance" else label
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(whole))
    packer = isal_zlib.compressobj(LEVEL, wbits=GZIP)  # the same bytes every time
    parts = (header.getvalue(), np.ascontiguousarray(whole))
    return b"".join([*map(packer.compress, parts), packer.flush()])
