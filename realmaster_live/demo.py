"""The whole chain without a simulator or a GPU: town, capture, engine, recording, report."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from realmaster_live.chunk import Chunk, Frame
from realmaster_live.classes import colourize
from realmaster_live.contact_sheet import contact_sheet
from realmaster_live.drawing import Picture, depth_colors, instance_colors, png_bytes
from realmaster_live.errors import RecordingError
from realmaster_live.live import about_run, run_with_progress
from realmaster_live.local_town import local_town, pick_ego
from realmaster_live.progress import console, tracked
from realmaster_live.protocols import Engine
from realmaster_live.recording import Recorder, Recording
from realmaster_live.recording.about import SCENE
from realmaster_live.report import Report, write_report
from realmaster_live.sinks.video import SideBySideVideo
from realmaster_live.stats import Stats

VEHICLES, WALKERS = 40, 40
MOMENTS = 5
COLUMNS = ("simulator", "realized", "classes", "objects", "depth")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What `realmaster demo` was asked for.

    Attributes:
        out: folder for everything that is left behind.
        seconds: of simulated driving. fps: simulated frames a second.
        size: (width, height) of the pictures. engine: its name. prompt: what it shows, its
            own by default. seed: which town.
    """

    out: Path = Path("demo-out")
    seconds: float = 20.0
    fps: float = 20.0
    size: tuple[int, int] = (512, 288)
    engine: str = "embedded"
    prompt: str | None = None
    seed: int = 25  # the shipped model was never trained on this town


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
class Moment:
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
            f"expected to write in {demo.out}, got {error}: choose another --out"
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
        moments = _film(recording, demo.out / "side-by-side.mp4")
    (demo.out / "contact-sheet.png").write_bytes(png_bytes(_sheet(moments)))
    write_report(
        demo.out / "report.html",
        Report(
            title="RealMaster demo",
            meta=recording.meta,
            stats=stats,
            ages_ms=ages_ms,
            pair=(moments[len(moments) // 2].frame.image, moments[len(moments) // 2].realized),
            sheet=_sheet(moments),
        ),
    )
    for name in ("report.html", "side-by-side.mp4", "contact-sheet.png", "recording"):
        console().print(f"wrote {demo.out / name}")
    return stats


def _load(demo: Demo) -> Engine:
    from realmaster_live.engines.load import load_engine

    width, height = demo.size
    return load_engine(demo.engine, width=width, height=height, fps=demo.fps, prompt=demo.prompt)


def _drive(demo: Demo, engine: Engine, folder: Path) -> tuple[Stats, list[float]]:
    from realmaster_live.bridges.carla_bridge import CarlaBridge

    width, height = demo.size
    ages = LatencyLog()
    state_log = folder / SCENE
    state_log.unlink(missing_ok=True)
    town = local_town(seed=demo.seed, vehicles=VEHICLES, walkers=WALKERS, state_log=state_log)
    with town as port, contextlib.ExitStack() as stack:
        bridge = stack.enter_context(
            CarlaBridge(
                port=port,
                ego=pick_ego(port),
                width=width,
                height=height,
                fixed_delta_s=1.0 / demo.fps,
            )
        )
        about = about_run(demo.engine, engine, bridge.describe(), policy="block", seed=demo.seed)
        recorder = stack.enter_context(Recorder(folder, engine.spec, about=about, overwrite=True))
        stats = run_with_progress(
            "realizing",
            bridge,
            engine,
            [recorder, ages],
            max_frames=max(engine.spec.first_frames, round(demo.seconds * demo.fps)),
        )
    return stats, ages.ages_ms


def _film(recording: Recording, path: Path) -> list[Moment]:
    """Write the side-by-side film; return moments spread over it."""
    picked = set(np.linspace(0, len(recording) - 1, MOMENTS + 2).astype(int)[1:-1].tolist())
    moments = []
    together = zip(recording.frames(), recording.pairs(), strict=True)
    with SideBySideVideo(path, recording.meta.spec.fps) as video:
        for row, (frame, (rendered, realized)) in enumerate(
            tracked(together, "writing the film", len(recording))
        ):
            video.add(rendered, realized)
            if row in picked:
                moments.append(
                    Moment(at_s=row / recording.meta.spec.fps, frame=frame, realized=realized)
                )
    return moments


def _sheet(moments: list[Moment]) -> Picture:
    """Return rows of what was rendered, what was realized, and the labels of both."""
    rows = [
        (
            moment.frame.image,
            moment.realized,
            colourize(np.asarray(moment.frame.labels["semantic"], np.uint8)),
            instance_colors(np.asarray(moment.frame.labels["instance"], np.int32)),
            depth_colors(np.asarray(moment.frame.labels["depth"], np.float32)),
        )
        for moment in moments
    ]
    captions = [f"{moment.at_s:.1f} s" for moment in moments]
    return contact_sheet(rows, columns=COLUMNS, captions=captions)
