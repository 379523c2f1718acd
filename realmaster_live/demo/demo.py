"""The whole chain without a simulator or a GPU: town, capture, engine, recording, report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.demo.contact_sheet import contact_sheet
from realmaster_live.demo.live_size import HEADROOM, live_engine
from realmaster_live.demo.local_town import local_game, local_town, pick_ego
from realmaster_live.demo.report import Report, write_report
from realmaster_live.demo.settings import Demo
from realmaster_live.errors import RecordingError, reason
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.classes import colourize
from realmaster_live.live.progress import console, run_with_progress, tracked
from realmaster_live.live.queue import Policy
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Engine, Source
from realmaster_live.recording import About, Recorder, Recording
from realmaster_live.recording.about import SCENE
from realmaster_live.sinks.drawing import Picture, depth_colors, instance_colors, png_bytes
from realmaster_live.sinks.video import SideBySideVideo

VEHICLES, WALKERS = 40, 40
SNAPSHOTS = 5
Attached = tuple[Source, Policy]  # what is run, and what happens when the engine is late
LABELS: Mapping[str, tuple[str, Callable[[Any], Picture]]] = {
    "classes": ("semantic", colourize),
    "objects": ("instance", instance_colors),
    "depth": ("depth", depth_colors),
}
DRIVING = (786603, 15.0)  # the game's flags for keeping to the rules, m/s


@dataclass
class LatencyLog:
    """A sink that keeps how old every frame was when it was delivered, milliseconds."""

    ages_ms: list[float] = field(default_factory=list)

    def write(self, chunk: Chunk) -> None:
        """Note the ages of one chunk's frames."""
        self.ages_ms += (1e3 * (time.monotonic() - chunk.captured_at)).tolist()

    def close(self) -> None:
        """Keep the ages."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One recorded frame, `at_s` seconds into the drive; its realized picture (H, W, 3) uint8."""

    at_s: float
    frame: Frame
    realized: Picture


def run_demo(demo: Demo) -> Stats:
    """Drive, realize, record, and write the film, the contact sheet and the report."""
    folder = demo.out / "recording"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(
            f"expected to write in {demo.out}, got {reason(error)}: choose another --out"
        ) from error
    engine = _load(demo)
    try:
        console(stderr=True).print(
            f"starting the embedded town, seed {demo.seed} (the first start compiles it)"
        )
        stats, ages_ms = _drive(demo, engine, folder)
    finally:
        engine.close()
    with Recording(folder) as recording:
        snapshots = _film(recording, demo.out / "side-by-side.mp4")
    (demo.out / "contact-sheet.png").write_bytes(png_bytes(_sheet(snapshots)))
    write_report(
        demo.out / "report.html",
        Report(
            title="RealMaster demo",
            meta=recording.meta,
            stats=stats,
            ages_ms=ages_ms,
            pair=(
                snapshots[len(snapshots) // 2].frame.image,
                snapshots[len(snapshots) // 2].realized,
            ),
            sheet=_sheet(snapshots),
        ),
    )
    for name in ("report.html", "side-by-side.mp4", "contact-sheet.png", "recording"):
        console().print(f"wrote {demo.out / name}")
    return stats


def _load(demo: Demo) -> Engine:
    """Return the engine, of a size that runs live where none was chosen."""
    from realmaster_live.engines.load import load_engine
    from realmaster_live.fidelity.dissolve import dissolving
    from realmaster_live.fidelity.steady import steadied

    def load(size: tuple[int, int]) -> Engine:
        width, height = size
        engine = load_engine(
            demo.engine, width=width, height=height, fps=demo.rate, prompt=demo.prompt
        )
        return steadied(dissolving(engine))

    if demo.size is not None:
        return load(demo.size)
    engine, speeds = live_engine(load, demo.rate)
    if len(speeds) > 1:
        console(stderr=True).print(_explained(speeds, demo.rate), highlight=False)
    return engine


def _explained(speeds: Mapping[tuple[int, int], float], rate: float) -> str:
    """Return why the demo runs at the last of some sizes."""
    *larger, (width, height) = speeds
    slow = " and ".join(f"{speeds[size]:.0f} at {size[0]}x{size[1]}" for size in larger)
    is_live = speeds[width, height] >= HEADROOM * rate
    return (
        f"the engine alone realizes {slow} frames a second here, too few for {rate:.0f} beside the "
        f"town: the demo runs at {width}x{height}{'' if is_live else ', slower than live'}; --size "
        "WxH sets another size"
    )


def _drive(demo: Demo, engine: Engine, folder: Path) -> tuple[Stats, list[float]]:
    ages = LatencyLog()
    (folder / SCENE).unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        attach = _attach_game if demo.bridge == "gtav" else _attach_town
        size = engine.spec.width, engine.spec.height
        source, policy = attach(demo, size, folder, stack)
        recorder = Recorder(folder, about=About(seed=demo.seed), overwrite=True)
        stats = run_with_progress(
            "realizing",
            source,
            engine,
            [recorder, ages],
            policy=policy,
            max_frames=max(engine.spec.first_frames, round(demo.seconds * demo.rate)),
        )
    return stats, ages.ages_ms


def _attach_town(
    demo: Demo, size: tuple[int, int], folder: Path, stack: contextlib.ExitStack
) -> Attached:
    """Start the town as a CARLA server, whose tick is ours."""
    from realmaster_live.bridges.carla.bridge import CarlaBridge

    width, height = size
    port = stack.enter_context(
        local_town(seed=demo.seed, vehicles=VEHICLES, walkers=WALKERS, state_log=folder / SCENE)
    )
    bridge = stack.enter_context(
        CarlaBridge(
            port=port,
            ego=pick_ego(port),
            width=width,
            height=height,
            fixed_delta_s=1.0 / demo.rate,
        )
    )
    return bridge, "block"


def _attach_game(
    demo: Demo, size: tuple[int, int], folder: Path, stack: contextlib.ExitStack
) -> Attached:
    """Start the town in GTA-V's place, which goes on whether we keep up or not."""
    from realmaster_live.bridges.gtav.bridge import GtavBridge
    from realmaster_live.bridges.gtav.camera import NEAR_M
    from realmaster_live.bridges.gtav.protocol.messages import Scenario

    width, height = size
    url = stack.enter_context(local_game(seed=demo.seed))
    bridge = stack.enter_context(
        GtavBridge(
            url,
            width=width,
            height=height,
            fps=demo.rate,
            rate=demo.rate,
            near_m=NEAR_M,
            scenario=Scenario(driving_mode=DRIVING),
        )
    )
    return bridge, "drop_oldest"


def _film(recording: Recording, path: Path) -> list[Snapshot]:
    """Write the side-by-side film; return snapshots spread over it."""
    picked = set(np.linspace(0, len(recording) - 1, SNAPSHOTS + 2).astype(int)[1:-1].tolist())
    snapshots = []
    together = zip(recording.frames(), recording.pairs(), strict=True)
    with SideBySideVideo(path, recording.meta.spec.fps, overwrite=True) as video:
        for row, (frame, (rendered, realized)) in enumerate(
            tracked(together, "writing the film", len(recording))
        ):
            video.add(rendered, realized)
            if row in picked:
                snapshots.append(
                    Snapshot(at_s=row / recording.meta.spec.fps, frame=frame, realized=realized)
                )
    return snapshots


def _sheet(snapshots: list[Snapshot]) -> Picture:
    """Return rows of what was rendered, what was realized, and the labels of both."""
    columns = {
        "simulator": [snapshot.frame.image for snapshot in snapshots],
        "realized": [snapshot.realized for snapshot in snapshots],
    }
    for name, (label, draw) in LABELS.items():
        if all(label in snapshot.frame.labels for snapshot in snapshots):
            columns[name] = [
                draw(np.asarray(snapshot.frame.labels[label])) for snapshot in snapshots
            ]
    rows = list(zip(*columns.values(), strict=True))
    captions = [f"{snapshot.at_s:.1f} s" for snapshot in snapshots]
    return contact_sheet(rows, columns=tuple(columns), captions=captions)
