"""Times the export of recordings to data sets, and the parts that limit it.

Run `python benchmarks/exports.py [--size WxH] [--frames N] [--variant sim]`. The recording is a
drive through the embedded town with the identity engine.

frames/s    best of three exports.
CPU ms      CPU time of all threads per frame; two cores allow at most 2000 / CPU ms frames/s.
plain       CPU ms of the plain way: one frame after another in one thread, with a mask of the whole
            picture for each object, and OpenCV's or zlib's usual settings for each file.
ratio       plain / CPU ms.
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.datasets import (
    Selection,
    Summary,
    cityscapes,
    coco,
    kitti,
    panoptic,
    webdataset_shards,
    yolo,
)
from realmaster_live.datasets.categories import CITYSCAPES, CITYSCAPES_LABELS
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.demo.local_town import local_town, pick_ego
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.pipeline import run
from realmaster_live.recording import About, Recorder, Recording
from realmaster_live.recording.sample import Sample
from realmaster_live.system.freed_memory import keep_freed_memory
from realmaster_live.system.host import describe_host
from realmaster_live.system.pictures import encode

FPS, ROUNDS = 10.0, 3
EXPORTS: dict[str, Callable[..., Summary]] = {
    "coco": coco.export,
    "yolo": yolo.export,
    "yolo, outlines": partial(yolo.export, segments=True),
    "kitti, png": kitti.export,
    "kitti, jpg": partial(kitti.export, suffix=".jpg"),
    "cityscapes": cityscapes.export,
    "cityscapes, polygons": partial(cityscapes.export, polygons=True),
    "panoptic": panoptic.export,
    "webdataset": webdataset_shards.export,
}


def plain_coco(sample: Sample, out: Path) -> None:
    """Write a picture, and encode every object's mask by itself."""
    cv2.imwrite(str(out / "0.jpg"), sample.frame.image[..., ::-1])
    instance = sample.frame.labels["instance"]
    rows = []
    for one in sample.annotations:
        mask = instance == (one.class_id << 16 | one.mask_id)
        code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        rows.append(
            {
                "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
                "bbox": coco_mask.toBbox(code).tolist(),
                "area": int(coco_mask.area(code)),
            }
        )
    (out / "0.json").write_text(json.dumps(rows))


def plain_cityscapes(sample: Sample, out: Path) -> None:
    """Write a picture and four label maps, and paint every class and object by itself."""
    semantic, instance = sample.frame.labels["semantic"], sample.frame.labels["instance"]
    labels = {label.id: label for label in CITYSCAPES_LABELS}
    ids, trained = np.zeros(semantic.shape, np.uint8), np.full(semantic.shape, 255, np.uint8)
    colours = np.zeros((*semantic.shape, 3), np.uint8)
    for class_id in np.unique(semantic).tolist():
        label = labels[CITYSCAPES.ids[CITYSCAPES.of(class_id)]]
        mask = semantic == class_id
        ids[mask], trained[mask], colours[mask] = label.id, label.train_id % 256, label.color
    instances = ids.astype(np.uint16)
    for number, one in enumerate(sample.annotations):
        mask = instance == (one.class_id << 16 | one.mask_id)
        instances[mask] = CITYSCAPES.ids[CITYSCAPES.of(one.class_id)] * 1000 + number
    pictures = (sample.frame.image[..., ::-1], ids, trained, instances, colours)
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(out / f"{number}.png"), picture)


def plain_webdataset(sample: Sample, out: Path) -> None:
    """Write a picture and compressed arrays as gzip.compress makes them."""
    cv2.imwrite(str(out / "0.jpg"), sample.frame.image[..., ::-1])
    for name in ("semantic", "instance", "depth"):
        file = io.BytesIO()
        np.save(file, sample.frame.labels[name])
        (out / f"{name}.npy.gz").write_bytes(gzip.compress(file.getvalue()))


PLAIN: dict[str, tuple[Callable[[Sample, Path], None], tuple[str, ...]]] = {
    "coco": (plain_coco, ("instance",)),
    "cityscapes": (plain_cityscapes, ("semantic", "instance")),
    "webdataset": (plain_webdataset, ("semantic", "instance", "depth")),
}
PLAIN_EVERY = 8  # frames


def record(folder: Path, size: tuple[int, int], frames: int) -> None:
    """Record a drive."""
    width, height = size
    spec = ChunkSpec(frames=4, height=height, width=width, fps=FPS)
    with (
        local_town(seed=25, vehicles=40, walkers=40) as port,
        CarlaBridge(
            port=port, ego=pick_ego(port), width=width, height=height, fixed_delta_s=1 / FPS
        ) as bridge,
        Recorder(folder, spec, about=About(source=bridge.info)) as recorder,
    ):
        run(bridge, IdentityEngine(spec), [recorder], max_frames=frames)


def timed(work: Callable[[], Any], count: int) -> tuple[float, float]:
    """Return frames per second and CPU milliseconds per frame, the best of the rounds."""
    rates, spent = [], []
    for _ in range(ROUNDS):
        began, cpu = time.monotonic(), time.process_time()
        work()
        rates.append(count / (time.monotonic() - began))
        spent.append(1e3 * (time.process_time() - cpu) / count)
    return max(rates), min(spent)


def measure(folder: Path, out: Path, variant: str) -> None:
    """Print the rate of every export, and the cost of its parts."""
    selection = Selection(recordings=(folder,), variant=variant)  # type: ignore[arg-type]
    options = ExportOptions(overwrite=True, threads=max(1, (os.cpu_count() or 2) - 1))
    recording = Recording(folder, verify=False)
    count = len(recording)
    things = recording.table("objects").num_rows / count
    title = f"{count} frames, {variant}, {things:.1f} things a frame"
    print(f"\n{title:42}{'frames/s':>10}{'CPU ms':>9}{'plain':>9}{'ratio':>7}")
    for name, export in EXPORTS.items():
        rate, spent = timed(partial(export, selection, out, options=options), count)
        line = f"{name:42}{rate:10.0f}{spent:9.2f}"
        if name in PLAIN:
            plain = plain_cost(recording, *PLAIN[name], out)
            line += f"{plain:9.2f}{plain / spent:7.1f}"
        print(line)
    print("of which")
    for streams in ((), ("sim",), ("instance",), ("semantic",)):
        rate, spent = timed(
            lambda streams=streams: sum(1 for _ in recording.samples("front", streams=streams)),
            count,
        )
        print(f"{'reading ' + ('+'.join(streams) or 'tables'):42}{rate:10.0f}{spent:9.2f}")
    pictures = [
        sample.frame.image
        for sample in itertools.islice(recording.samples("front", streams=("sim",), every=8), 20)
    ]
    for suffix in (".jpg", ".png"):
        rate, spent = timed(
            lambda suffix=suffix: [encode(picture, suffix) for picture in pictures], len(pictures)
        )
        print(f"{'encoding ' + suffix:42}{rate:10.0f}{spent:9.2f}")


def plain_cost(
    recording: Recording,
    write: Callable[[Sample, Path], None],
    labels: tuple[str, ...],
    out: Path,
) -> float:
    """Return the CPU milliseconds that a frame takes in the plain way, decoding included."""
    folder = out.parent / "plain"
    folder.mkdir(exist_ok=True)
    count = len(range(0, len(recording), PLAIN_EVERY))

    def work() -> None:
        for sample in itertools.islice(recording.samples("front", streams=("sim", *labels)), count):
            write(sample, folder)

    return timed(work, count)[1]


def main() -> None:
    """Record, then export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--variant", default="sim", choices=("sim", "real", "paired"))
    parser.add_argument("--recording", type=Path, help="export this instead of a new recording")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    keep_freed_memory()  # as the command does
    host = describe_host()
    print(f"{host.get('cpu', host)}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        recording = options.recording or Path(folder) / "drive"
        if options.recording is None:
            record(recording, (width, height), options.frames)
        measure(recording, Path(folder) / "out", options.variant)


if __name__ == "__main__":
    main()
