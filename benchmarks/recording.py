"""Measures the cost of recording: by stream, in the live loop, and over half an hour.

Run `python benchmarks/recording.py [streams] [log] [loop] [long] [--size WxH]`; all by default.

streams  ms and kB per frame to write and read each stream, and to annotate; for labels also as
         lossless video (FFV1).
log      CPU time of a recording and an MCAP file of the same drive: alone, both with one encode
         of the pictures, as in a run, and both with one of their own.
loop     frames per second of the live loop with the shipped model, with and without recording, in
         alternating rounds, and the CPU time of recording: with the model on all cores, and on one
         core with the others free.
long     a drive of 30 minutes, 36,000 small frames written at full speed: memory and files.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from realmaster_live.annotations import annotate
from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.demo.local_town import local_town, pick_ego
from realmaster_live.engines.load import load_engine
from realmaster_live.frames.chunk import Chunk, ChunkSpec, Frame
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.live.pipeline import run
from realmaster_live.recording import Recorder, Recording, verify
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.streams import file_of, open_stream, read_stream
from realmaster_live.recording.videos import Pictures
from realmaster_live.sinks.mcap_file import McapFile
from realmaster_live.system.host import describe_host

PARTS = ("streams", "log", "loop", "long")
LABELS = ("depth", "semantic", "instance", "flow")
LOOP_LABELS = ("depth", "semantic", "instance")  # what attach records by default
FPS, FRAMES, ROUNDS = 20.0, 48, 6
LONG_FRAMES, LONG_SIZE = 36_000, (96, 64)


class Played:
    """A source that plays captured frames again."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames

    def frames(self) -> Iterator[Frame]:
        """Yield each frame, captured now."""
        for frame in self._frames:
            yield replace(frame, captured_at=time.monotonic())

    def close(self) -> None:
        """Do nothing; the frames are kept."""


def capture(size: tuple[int, int]) -> list[Frame]:
    """Return frames of a drive through the embedded town, with all labels."""
    width, height = size
    with (
        local_town(seed=25, vehicles=40, walkers=40) as port,
        CarlaBridge(
            port=port,
            ego=pick_ego(port),
            width=width,
            height=height,
            fixed_delta_s=1 / FPS,
            labels=LABELS,
        ) as bridge,
    ):
        return list(itertools.islice(bridge.frames(), 20, 20 + FRAMES))


def spent_ms(work: Callable[[], Any], count: int) -> float:
    """Return the CPU milliseconds per item of `count` items, the best of three rounds."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return 1e3 * min(taken) / count


def measure_streams(frames: Sequence[Frame], folder: Path) -> None:
    """Print the cost of each stream."""
    height, width = frames[0].image.shape[:2]
    count = len(frames)
    print(f"\n{width}x{height}, CPU time a frame   write ms   read ms       kB")
    kinds = [("sim", Pictures()), ("sim", Pictures(lossless=True))]
    for stream, pictures in [*kinds, *((name, Pictures()) for name in LABELS)]:
        path = folder / file_of(stream, pictures)
        arrays = [f.image if stream == "sim" else f.labels[stream] for f in frames]

        def write(
            path: Path = path,
            stream: str = stream,
            pictures: Pictures = pictures,
            arrays: list[Any] = arrays,
        ) -> None:
            writer = open_stream(path, stream, (width, height), FPS, pictures)
            for array in arrays:
                writer.write(array)
            writer.close()

        def read(path: Path = path, stream: str = stream) -> None:
            for _ in read_stream(path, stream):
                pass

        name = "picture" if stream == "sim" else stream
        name += ", lossless" if pictures.lossless else ""
        cost = spent_ms(write, count), spent_ms(read, count), path.stat().st_size / 1e3 / count
        print(f"{name:28}{cost[0]:10.2f}{cost[1]:10.2f}{cost[2]:10.1f}")
        if stream in ("depth", "semantic", "instance"):
            written, decoded, size = as_video(folder / f"{stream}.mkv", stream, arrays)
            print(f"{'  as FFV1':28}{written:10.2f}{decoded:10.2f}{size:10.1f}")
    things = sum(len(frame.objects) for frame in frames) / count

    def note() -> None:
        for f in frames:
            annotate(f.objects, f.labels, f.cam_to_world, f.intrinsics, (width, height))

    print(f"{f'annotating {things:.0f} things':28}{spent_ms(note, count):10.2f}")


def as_video(path: Path, label: str, arrays: Sequence[Any]) -> tuple[float, float, float]:
    """Return ms to write, ms to read and kB per frame as FFV1, with a pixel's bytes as planes."""

    def stacked(array: Any) -> Any:
        columns = [np.ascontiguousarray(c) for c in PACKINGS[label].pack(array).values()]
        if columns[0].dtype == np.int32:
            words = columns[0].view(np.uint32)
            columns = [(words >> 16).astype(np.uint16), words.astype(np.uint16)]
        return np.concatenate(columns)

    def write() -> None:
        with av.open(path, "w") as container:
            options = {"level": "3", "slices": "4", "coder": "range_tab"}
            stream = container.add_stream("ffv1", rate=int(FPS), options=options)
            first = stacked(arrays[0])
            stream.height, stream.width = first.shape
            stream.pix_fmt = "gray" if first.dtype == np.uint8 else "gray16le"
            stream.codec_context.thread_count = stream.codec_context.gop_size = 1
            for array in arrays:
                frame = av.VideoFrame.from_ndarray(stacked(array), format=stream.pix_fmt)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def read() -> None:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                frame.to_ndarray()

    count = len(arrays)
    return spent_ms(write, count), spent_ms(read, count), path.stat().st_size / 1e3 / count


def measure_log(frames: Sequence[Frame], folder: Path) -> None:
    """Print the CPU time of a recording, of an MCAP file and of both."""
    height, width = frames[0].image.shape[:2]
    spec = ChunkSpec(frames=4, width=width, height=height, fps=FPS)
    named = itertools.count()

    def write(kinds: str, *, shared: bool = True) -> None:
        run = RunInfo(source=Played(frames), spec=spec)
        place = folder / f"log-{next(named)}"
        sinks: list[Any] = []
        if "r" in kinds:
            sinks.append(Recorder(place))
            sinks[-1].begin(run)
        if "m" in kinds:
            sinks.append(McapFile(place / "drive.mcap"))
            sinks[-1].open()
            sinks[-1].begin(run if shared else replace(run, shared={}))
        for index in range(FRAMES // spec.frames):
            chunk = small_chunk(index, frames, spec)
            chunk = chunk.with_frames(255 - chunk.frames)
            for sink in sinks:
                sink.write(chunk)
        for sink in sinks:
            sink.close()

    print(f"\n{width}x{height}, CPU time a frame of both pictures, three labels and all tables")
    nothing = spent_ms(lambda: write(""), FRAMES)
    for title, kinds, shared in (
        ("recording", "r", True),
        ("MCAP file", "m", True),
        ("both, one encode", "rm", True),
        ("both, an encode each", "rm", False),
    ):
        spent = spent_ms(partial(write, kinds, shared=shared), FRAMES) - nothing
        print(f"{title:28}{spent:10.2f} ms", flush=True)


def measure_loop(frames: Sequence[Frame], folder: Path, *, threads: int) -> None:
    """Print the live loop's rate with and without a recording; `threads` of the engine, 0: all."""
    height, width = frames[0].image.shape[:2]
    shown = [replace(f, labels={name: f.labels[name] for name in LOOP_LABELS}) for f in frames]
    rates: dict[bool, list[float]] = {False: [], True: []}
    spent: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * ROUNDS + 2):
        recorded = number % 2 == 1
        engine = load_engine("embedded", width=width, height=height, fps=FPS, threads=threads)
        sinks = [Recorder(folder / f"{threads}-{number}", engine.spec)] if recorded else []
        began, cpu = time.monotonic(), time.process_time()
        run(Played(shown), engine, sinks)
        if number > 1:  # the first two rounds are a warm-up
            rates[recorded].append(len(shown) / (time.monotonic() - began))
            spent[recorded].append(1e3 * (time.process_time() - cpu) / len(shown))
    ratios = [b / a for a, b in zip(rates[False], rates[True], strict=True)]
    without, with_it = statistics.median(rates[False]), statistics.median(rates[True])
    cpu_without, cpu_with = statistics.median(spent[False]), statistics.median(spent[True])
    cores = f"on {threads} core, the others free" if threads else "on all cores"
    print(f"\n{width}x{height}, the live loop, the model {cores}, {ROUNDS} rounds in turn")
    print(f"without recording {without:6.2f} frames/s, {cpu_without:6.1f} ms of CPU a frame")
    print(f"with recording    {with_it:6.2f} frames/s, {cpu_with:6.1f} ms of CPU a frame")
    print(
        f"ratio of the rates {statistics.median(ratios):.3f} (of the rounds "
        f"{min(ratios):.3f} to {max(ratios):.3f}), of the CPU time {cpu_without / cpu_with:.3f}"
    )


def small_chunk(index: int, frames: Sequence[Frame], spec: ChunkSpec) -> Chunk:
    """Return a chunk of an endless drive, made of captured frames."""
    numbers = np.arange(spec.frames) + index * spec.frames
    picked = [frames[int(number) % len(frames)] for number in numbers]
    return Chunk(
        index=index,
        camera="front",
        frames=np.stack([frame.image for frame in picked]),
        frame_ids=numbers,
        timestamps=numbers / FPS,
        captured_at=np.full(spec.frames, time.monotonic()),
        intrinsics=picked[0].intrinsics,
        cam_to_world=np.stack([frame.cam_to_world for frame in picked]),
        labels={n: np.stack([frame.labels[n] for frame in picked]) for n in LOOP_LABELS},
        objects=tuple(frame.objects for frame in picked),
    )


def measure_long(frames: Sequence[Frame], folder: Path) -> None:
    """Print memory and files over half an hour of simulated driving."""
    width, height = LONG_SIZE
    spec = ChunkSpec(frames=4, width=width, height=height, fps=FPS)
    minutes = LONG_FRAMES / FPS / 60
    print(f"\n{width}x{height}, {LONG_FRAMES} frames, {minutes:.0f} minutes of driving")
    began = time.monotonic()
    with Recorder(folder, spec) as recorder:
        for index in range(LONG_FRAMES // spec.frames):
            chunk = small_chunk(index, frames, spec)
            recorder.write(chunk.with_frames(255 - chunk.frames))
            done = (index + 1) * spec.frames
            if index == 0 or done % int(300 * FPS) == 0:
                print(
                    f"  {done / FPS / 60:4.0f} min  {resident_mib():7.1f} MiB resident", flush=True
                )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    count = sum(path.is_file() for path in folder.rglob("*"))
    print(f"  closed    {resident_mib():7.1f} MiB, {count} files, {size / 1e6:.0f} MB")
    print(f"  {LONG_FRAMES / (time.monotonic() - began):.0f} frames/s written")
    began = time.monotonic()
    print(f"  {verify(folder).lines()[-1]} ({time.monotonic() - began:.1f} s)")
    began = time.monotonic()
    played = sum(1 for _ in Recording(folder).frames())
    print(f"  {played / (time.monotonic() - began):.0f} frames/s played, {resident_mib():.1f} MiB")


def resident_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> int:
    """Run the selected measurements."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--size", default="512x288", metavar="WxH", help="default: 512x288")
    options = parser.parse_args()
    width, height = (int(number) for number in options.size.split("x"))
    host = describe_host()
    print(f"{host['cpu']}, {host['cores']} cores, Python {host['python']}")
    parts = options.parts or PARTS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = capture((width, height)) if {"streams", "log", "loop"} & set(parts) else []
        if "streams" in parts:
            measure_streams(frames, folder)
        if "log" in parts:
            measure_log(frames, folder)
        if "loop" in parts:
            for threads in (0, 1):
                measure_loop(frames, folder, threads=threads)
        if "long" in parts:
            measure_long(capture(LONG_SIZE), folder / "long")
    return 0


if __name__ == "__main__":
    sys.exit(main())
