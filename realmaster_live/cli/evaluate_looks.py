"""`realmaster evaluate looks`: the same figures in simulators that an engine was not trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from realmaster_live.cli.values import Count, Flag, Natural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from realmaster_live.frames.chunk import Frame
    from realmaster_live.protocols import Engine
    from realmaster_live.training.evaluate.drives.kept_looks import Look

TRAINED, UNSEEN, GAME, DRAWN = "A (trained on)", "B (unseen)", "GTA-V stand-in", "drawn now"


@dataclass(frozen=True, kw_only=True)
class EvaluateLooks:
    """Realize the same towns as several games draw them, and compare what is kept.

    The looks are A, which models are trained on, B, the stand-in for GTA-V with its own camera, and
    one whose colours, light and textures are drawn at random now. Writes a report of each and a
    table of all. A look that was measured is kept in --out: the same command goes on with the next.

    Attributes:
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        out: Folder for the reports.
        seeds: Towns, such as 1000:1003; those from 1000 on were never trained on.
        frames: Frames of each drive.
        size: Size of the pictures.
        look_seed: Of the look that is drawn at random.
        real: Folder of real photographs, for the distance to them.
        threads: Threads of the processor; 0 takes all cores.
    """

    engine: Annotated[str, Flag(positional=True)] = "embedded"
    out: Annotated[Path, Flag(metavar="DIR")]
    seeds: Annotated[str, Flag(metavar="A:B")] = "1000:1003"
    frames: Count = 60
    size: tuple[int, int] = (512, 288)
    look_seed: Natural = 0
    real: Annotated[Path | None, Flag(metavar="DIR")] = None
    threads: Natural = 0


def run(options: EvaluateLooks) -> int:
    """Drive, realize and measure; print the table."""
    from contextlib import ExitStack, closing

    from realmaster_live.engines.load import load_engine
    from realmaster_live.training.evaluate.drives.kept_looks import read_look
    from realmaster_live.training.evaluate.drives.loading import Models, load_measures
    from realmaster_live.training.evaluate.drives.looks import as_text, slug, write_looks
    from realmaster_live.training.perception.realized import engine_key
    from realmaster_live.training.session import use_threads

    use_threads(options.threads)
    width, height = options.size
    found: dict[str, Look] = {}
    with ExitStack() as stack:
        engine = None
        for look in (TRAINED, UNSEEN, GAME, DRAWN):
            folder = options.out / slug(look)
            key = {name: getattr(options, name) for name in ("seeds", "frames", "size")} | {
                "engine": engine_key(options.engine),
                "look_seed": options.look_seed if look == DRAWN else None,
                "real": None if options.real is None else str(options.real.resolve()),
            }
            kept = read_look(folder, key)
            if kept is None:
                engine = engine or stack.enter_context(
                    closing(
                        load_engine(
                            options.engine, width=width, height=height, threads=options.threads
                        )
                    )
                )
                kept = _measure(look, engine, options)
                kept.save(folder, key)
            found[look] = kept
    figures = load_measures(Models(real=options.real)).figures
    write_looks(options.out, found, figures)
    sys.stdout.write(as_text(found, figures) + "\n")
    sys.stdout.write(f"\nreport: {options.out / 'report.html'}\n")
    return 0


def _measure(look: str, engine: Engine, options: EvaluateLooks) -> Look:
    """Drive, realize and measure all towns in one look, and write its report."""
    from realmaster_live.minitown.truth.pairs import parse_range
    from realmaster_live.training.evaluate.drives.gallery import write_gallery
    from realmaster_live.training.evaluate.drives.kept_looks import Look
    from realmaster_live.training.evaluate.drives.loading import Models, load_measures
    from realmaster_live.training.evaluate.drives.looks import slug
    from realmaster_live.training.evaluate.drives.page import write_report
    from realmaster_live.training.evaluate.drives.run import evaluate_drives
    from realmaster_live.training.evaluate.drives.shown import Shown
    from realmaster_live.training.evaluate.drives.sources import RealizedDrive

    sources = []
    for seed in parse_range(options.seeds):
        frames = list(_frames(look, seed, options, engine.spec.fps))
        sources.append(RealizedDrive(f"town {seed}", frames, engine))
    shown = Shown(fps=engine.spec.fps)
    measures = load_measures(Models(real=options.real))
    evaluation = evaluate_drives(sources, measures=measures, watch=shown.add)
    write_gallery(options.out / slug(look), evaluation, shown, title=look)
    write_report(options.out / f"{slug(look)}.html", evaluation, shown)
    sys.stderr.write(f"{look}: measured {sum(map(len, sources))} frames\n")
    return Look.of(evaluation, shown)


def _frames(look: str, seed: int, options: EvaluateLooks, fps: float) -> Iterator[Frame]:
    """Yield the frames of one drive with their labels."""
    if look == GAME:
        yield from _of_the_game(seed, options, fps)
        return
    import numpy as np

    from realmaster_live.bridges.carla.geometry import cam_to_world
    from realmaster_live.minitown.models.town import build_town
    from realmaster_live.minitown.plan.network import make_network
    from realmaster_live.minitown.raster.look import LOOK_A, LOOK_B, draw_look
    from realmaster_live.minitown.raster.rasteriser import Rasteriser
    from realmaster_live.minitown.truth.drives import drive, plan_drive

    drawing = {TRAINED: LOOK_A, UNSEEN: LOOK_B}.get(look) or draw_look(options.look_seed)
    rasteriser = Rasteriser(build_town(make_network(seed)), look=drawing)
    width, height = options.size
    steps = drive(
        plan_drive(seed, 0), frames=options.frames, width=width, height=height, dt=1 / fps
    )
    before = None
    for index, (state, view) in enumerate(steps):
        drawn = rasteriser.render(state, view, flow_from=before)
        still = np.zeros((height, width, 2), np.float32)  # of the first frame
        flow = still if drawn.flow is None else drawn.flow
        labels: dict[str, NDArray[Any]] = {"depth": drawn.depth, "flow": flow}
        labels["semantic"] = drawn.semantic
        number = np.asarray(drawn.instance, np.int32) & 0xFFFF  # labels have the class above it
        labels["instance"] = np.where(number > 0, drawn.semantic.astype(np.int32) << 16 | number, 0)
        pose = cam_to_world(view.cam_to_world)
        yield _frame(index, fps, drawn.rgb, view.fov_deg, pose, labels, asdict(state.weather))
        before = state, view


def _of_the_game(seed: int, options: EvaluateLooks, fps: float) -> Iterator[Frame]:
    """Yield what the stand-in for GTA-V draws and labels: it numbers no objects."""
    from realmaster_live.bridges.gtav.protocol.messages import Scenario, Start
    from realmaster_live.bridges.gtav.standin.town import TownStage
    from realmaster_live.frames.geometry import field_of_view_deg

    stage = TownStage(seed)
    stage.apply(Start(scenario=Scenario(weather="EXTRASUNNY", time=(15, 0), driving_mode=(0, 0))))
    for index in range(options.frames):
        scene = stage.step(options.size, 1 / fps)
        fov_deg = field_of_view_deg(options.size[0], scene.focal_px)
        labels = {"depth": scene.depth, "semantic": scene.semantic}
        yield _frame(index, fps, scene.image, fov_deg, scene.cam_to_world, labels)


def _frame(
    index: int,
    fps: float,
    image: NDArray[np.uint8],
    fov_deg: float,
    pose: NDArray[np.float64],  # (4, 4) camera to world
    labels: Mapping[str, NDArray[Any] | None],
    weather: Mapping[str, float] | None = None,
) -> Frame:
    """Return a frame with the labels that there are, and the weather where it is known."""
    from realmaster_live.frames.chunk import Frame
    from realmaster_live.frames.geometry import pinhole
    from realmaster_live.frames.source_info import SourceInfo

    height, width = image.shape[:2]
    return Frame(
        camera="front",
        frame_id=index,
        timestamp=index / fps,
        captured_at=0.0,
        image=image,
        intrinsics=pinhole(width, height, fov_deg),
        cam_to_world=pose,
        labels={name: label for name, label in labels.items() if label is not None},
        source=SourceInfo(weather=weather) if weather else None,
    )
