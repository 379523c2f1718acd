"""Measures the fidelity gate: scores of good frames, share of corrupted ones stopped, and cost.

Run `python benchmarks/fidelity.py` for drives through held-out embedded towns, realized live
through the real `carla` client, or `--recordings DIR ...` for your own recordings. Realized frames
are judged unchanged and with each corruption of `corruptions.py`. The table shows how many
of each the default thresholds stop, and the quantiles of every score. `--judge FILE` adds a judge
network. Judging and the engine are timed in turn, on equally many threads, so that other load on
the machine does not affect the ratio.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from corruptions import CORRUPTIONS

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.demo.local_town import local_town, pick_ego
from realmaster_live.engines.load import load_engine
from realmaster_live.fidelity.judge import EMBEDDED_FILE, Judge
from realmaster_live.fidelity.lock import LOCKED, SafetyLock
from realmaster_live.fidelity.measure import measure
from realmaster_live.fidelity.regions import find_regions
from realmaster_live.fidelity.thresholds import DEFAULT_THRESHOLDS, JUDGE_THRESHOLDS, Thresholds
from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.chunker import Chunker
from realmaster_live.protocols import Source
from realmaster_live.recording import Recording

SCORES = ("edges", "depth_order", "semantics", "boxes", "lights")
QUANTILES = (0.01, 0.05, 0.5)
VEHICLES, WALKERS = 34, 40


def live_chunks(seed: int, options: argparse.Namespace) -> Iterator[Chunk]:
    """Yield chunks of a drive through a town, some seconds apart."""
    with local_town(seed=seed, vehicles=VEHICLES, walkers=WALKERS) as port:
        source = CarlaBridge(port=port, ego=pick_ego(port), width=512, height=288)
        with source:
            yield from chunks_of(source, options)


def chunks_of(source: Source, options: argparse.Namespace) -> Iterator[Chunk]:
    """Yield every n-th chunk of a source until there are enough."""
    chunker, given = Chunker(options.spec), 0
    for frame in source.frames():
        chunk = chunker.push(frame)
        if chunk is None or chunk.index % options.every:
            continue
        yield chunk
        given += 1
        if given == options.chunks:
            return


class Tally:
    """Scores and verdicts by kind of frame."""

    def __init__(self) -> None:
        self.scores: dict[str, list[list[float]]] = defaultdict(list)
        self.stopped: dict[str, list[bool]] = defaultdict(list)
        self.why: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def show(self) -> None:
        """Print how many frames of each kind were stopped and what they scored."""
        header = " ".join(f"{name:>16}" for name in (*SCORES, "worst thing"))
        print(f"{'frames':12} {'judged':>6} {'stopped':>8} {header}   (1 %, 5 %, median)")
        for kind, rows in self.scores.items():
            table = np.array(rows, np.float64)
            cells = []
            for column in table.T:
                known = column[~np.isnan(column)]
                values = np.quantile(known, QUANTILES) if len(known) else [np.nan] * 3
                cells.append(" ".join(f"{value:.2f}" for value in values).rjust(16))
            share = 100 * np.mean(self.stopped[kind])
            why = ", ".join(f"{name} {n}" for name, n in self.why[kind].items())
            print(f"{kind:12} {len(rows):6} {share:7.1f}% {' '.join(cells)}   {why}")

    def figures(self) -> dict[str, dict[str, float]]:
        """Return frames and the share that was stopped, by kind."""
        return {
            kind: {"frames": len(rows), "stopped": float(np.mean(self.stopped[kind]))}
            for kind, rows in self.scores.items()
        }


def judge_chunk(chunk: Chunk, tally: Tally, judge: Judge | None, limits: Thresholds) -> None:
    """Judge a realized chunk's first and last frame, unchanged and corrupted."""
    assert chunk.rendered is not None
    for index in (0, len(chunk) - 1):
        labels = {name: label[index] for name, label in chunk.labels.items()}
        objects = chunk.objects[index] if chunk.objects else ()
        regions = find_regions(labels)
        assert regions is not None
        seed = chunk.index * len(chunk) + index
        pictures = {"as realized": chunk.frames[index]}
        for kind, spoil in CORRUPTIONS.items():
            spoilt = spoil(chunk.frames[index], regions, seed)
            if spoilt is not None:
                pictures[kind] = spoilt
        for kind, picture in pictures.items():
            trust = measure(
                chunk.rendered[index],
                picture,
                labels,
                objects,
                judge=judge,
                min_pixels=limits.min_pixels,
            )
            if kind == "recoloured" and np.isnan(trust.lights):
                continue  # no light can be read in the render
            failures = limits.failures(trust)
            things = [thing.score for thing in trust.instances]
            worst = np.nanmin(things) if things and not np.isnan(things).all() else np.nan
            tally.scores[kind].append([*(getattr(trust, name) for name in SCORES), worst])
            tally.stopped[kind].append(bool(failures))
            for name in {failure.split()[0] for failure in failures}:
                tally.why[kind][name] += 1


def main() -> None:
    """Print the table and the cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--towns", type=int, nargs="*", default=[1000, 1002, 1004, 1006, 1009])
    parser.add_argument("--recordings", type=Path, nargs="*", default=[])
    parser.add_argument("--chunks", type=int, default=8, help="number of chunks of every drive")
    parser.add_argument("--every", type=int, default=10, help="take every n-th chunk")
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--judge", help="embedded, or an ONNX file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    engine = load_engine(options.engine, threads=options.threads)
    options.spec = engine.spec
    judge = None
    if options.judge:
        path = EMBEDDED_FILE if options.judge == "embedded" else Path(options.judge)
        judge = Judge(path, threads=options.threads)
    tally, limits = Tally(), DEFAULT_THRESHOLDS if judge is None else JUDGE_THRESHOLDS
    seconds: dict[str, list[float]] = defaultdict(list)
    lock = SafetyLock(engine)
    with ExitStack() as stack:
        stack.callback(engine.close)
        drives = [live_chunks(seed, options) for seed in options.towns if not options.recordings]
        for folder in options.recordings:
            drives.append(chunks_of(stack.enter_context(Recording(folder)), options))
        for drive in drives:
            engine.reset()
            for chunk in drive:
                began = time.perf_counter()
                realized = engine.realize(chunk)
                seconds["engine"].append(time.perf_counter() - began)
                began = time.perf_counter()
                for index in range(len(realized)):
                    measure(
                        chunk.frames[index],
                        realized.frames[index],
                        {name: label[index] for name, label in chunk.labels.items()},
                        chunk.objects[index] if chunk.objects else (),
                        judge=judge,
                    )
                seconds["judging"].append(time.perf_counter() - began)
                began = time.perf_counter()
                lock.lock(realized)
                seconds["lock"].append(time.perf_counter() - began)
                judge_chunk(realized, tally, judge, limits)
    tally.show()
    cost = {name: float(np.median(values)) for name, values in seconds.items()}
    frames = engine.spec.frames
    for name in ("judging", "lock"):
        print(
            f"{name}: {1e3 * cost[name] / frames:.1f} ms a frame of {engine.spec.width}x"
            f"{engine.spec.height}, {100 * cost[name] / cost['engine']:.1f} % of the engine's "
            f"{1e3 * cost['engine'] / frames:.1f} ms ({options.threads} threads)"
        )
    print(f"locked classes: {', '.join(LOCKED)}")
    if options.json:
        figures = {"kinds": tally.figures(), "seconds_a_chunk": cost, "threads": options.threads}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
