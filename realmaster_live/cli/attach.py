"""`realmaster attach` and `realmaster record`: realize a running CARLA world, or GTA-V."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from realmaster_live.cli.displays import Displays, Telemetry
from realmaster_live.cli.fidelity import Fidelity, wrap
from realmaster_live.cli.game import Game, check_simulator, open_game
from realmaster_live.cli.values import (
    Count,
    Degrees,
    Flag,
    Labels,
    Natural,
    Port,
    Rate,
    Seconds,
    Sensors,
    Value,
    read_ego,
)
from realmaster_live.engines.options import EngineOptions
from realmaster_live.errors import ConfigError
from realmaster_live.sinks.opening import (
    DisplayOptions,
    RecordingOptions,
    check_outputs,
    open_displays,
    open_recorder,
)
from realmaster_live.telemetry.options import TelemetryOptions

if TYPE_CHECKING:
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.bridges.gtav.bridge import GtavBridge
    from realmaster_live.frames.rig import Rig
    from realmaster_live.frames.route import Route
    from realmaster_live.frames.source_info import CameraInfo
    from realmaster_live.protocols import PromptedEngine, Source

DEFAULT_SIZE = (512, 288)
Ego = Annotated[
    str | int, Value(read=read_ego, expected="a role name or an actor id", metavar="NAME|ID")
]


@dataclass(frozen=True, kw_only=True)
class World:
    """Attach to a running simulator.

    Attributes:
        host: Host of the CARLA server. Without it, 127.0.0.1.
        port: Port of the CARLA server. Without it, 2000.
        ego: Role name or actor id of the vehicle that carries the cameras. Without it, the hero, or
            else any vehicle.
        rig: Spawn the cameras that this TOML file describes. --video shows the first.
        camera: Use the rgb camera with this actor id instead of spawning one.
        passive: Leave the ticking to another client, or let the world run freely.
        seconds: Stop after this much simulated time. Without it, Ctrl-C stops the run.
        fps: Frames a second of simulated time. With --passive, the world's own count.
        fov_deg: Horizontal field of view of the camera. Without it, 80. Of a game, the vertical
            field of view; without it, what the relay reports, or else 59.
        supersample: Have the simulator draw the picture this many times as wide and high, and take
            means: 2 smooths jagged edges. Without it, 1. Labels keep the size of --size.
        labels: Labels to capture, out of depth, semantic, instance and flow, or none. Without it,
            depth, semantic and instance.
        sensors: Sensors on the vehicle to record, out of imu, gnss, collision, lane_invasion,
            lidar, semantic_lidar and radar, or none. Without it, the first four where a recording
            is made. A --rig file may have [[sensor]] tables with places and attributes.
        objects: Leave out the objects around the vehicle.
        policy: What happens when the engine is late: block makes the simulator wait, drop_oldest
            drops chunks. Without it, drop_oldest with --passive and --gta, else block.
        timeout: How long to wait for the server and for each frame.
        size: Size of the pictures. Without it, 512x288.
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        prompt: The weather or look to show, such as rain. Without it, what the simulator shows.
        route: Drive the vehicle along this route, and stop where it ends: a file with a place x,y
            on each line, places such as "10,20;30,40" in the simulator's metres, or numbers of the
            map's spawn points such as 3..17. It is the recording's route for splits.
        seed: Seed of the town or scenario, as a fact of the recording for splits.
        licence: Licence of what is recorded, as a fact of the recording.
    """

    host: str | None = None
    port: Port | None = None
    ego: Ego | None = None
    rig: Path | None = None
    camera: Annotated[Natural | None, Flag(metavar="ID")] = None
    passive: bool = False
    seconds: Seconds | None = None
    fps: Rate = 20.0
    fov_deg: Degrees | None = None
    supersample: Count | None = None
    labels: Labels | None = None
    sensors: Sensors | None = None
    objects: bool = True
    policy: Literal["block", "drop_oldest"] | None = None
    timeout: Seconds = 10.0
    size: tuple[int, int] | None = None
    engine: Annotated[str, Flag(metavar="NAME|DIR")] = "embedded"
    prompt: str | None = None
    route: Annotated[str | None, Flag(metavar="FILE|X,Y;...|N..N")] = None
    seed: int | None = None
    licence: Annotated[str | None, Flag(metavar="TEXT", formerly="license")] = None
    running: EngineOptions = field(default_factory=EngineOptions)
    game: Game = field(default_factory=Game)
    fidelity: Fidelity = field(default_factory=Fidelity)
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    display: Displays = field(default_factory=DisplayOptions)
    telemetry: Telemetry = field(default_factory=TelemetryOptions)
    record: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Attach(World):
    """Realize a running CARLA world, or GTA-V.

    Attributes:
        record: Record frames, realized frames and labels in this new folder.
    """


@dataclass(frozen=True, kw_only=True)
class Record(World):
    """Realize a running simulator, and record everything in a folder.

    Attributes:
        record: A new folder for the recording.
    """

    record: Annotated[Path, Flag(positional=True, metavar="DIR")] = field()


def run(options: World) -> int:
    """Attach, realize until the end, detach."""
    from realmaster_live.live.progress import run_with_progress
    from realmaster_live.protocols import Sink

    check_simulator(options.game, options)
    check_outputs(options.display)
    is_game = options.game.gta is not None
    policy = options.policy or ("drop_oldest" if options.passive or is_game else "block")
    route = _route(options)
    with ExitStack() as stack:
        observer = options.telemetry.open(stack)
        bridge = _game(options) if is_game else _carla(options)
        stack.enter_context(bridge)
        info = bridge.info
        fps = options.fps if isinstance(bridge, Sink) else bridge.fps
        spare = [] if options.rig is None else _rig(options).spare
        engines = _load_engines(stack, options, info.cameras, observer.engine, fps=fps, spare=spare)
        sinks = open_displays(stack, options.display, observer.say)
        if options.record is not None:
            recorder = open_recorder(stack, options.record, options.recording)
            sinks.insert(0, recorder)
        sinks = observer.sinks(sinks)
        if isinstance(bridge, Sink):
            sinks.append(bridge)  # it sends realized frames on to where they can be shown
        run_with_progress(
            info.map,
            _described(bridge, options, route),
            engines,
            sinks,
            policy=policy,
            seconds=options.seconds,
            on_progress=observer.progress(),
            show=not observer.is_logging,
            spare=spare,
        )
    return 0


def _route(options: World) -> Route | None:
    """Return the route of --route, before anything is opened."""
    from realmaster_live.frames.route import read_route

    return None if options.route is None else read_route(options.route)


def _described(bridge: CarlaBridge | GtavBridge, options: World, route: Route | None) -> Source:
    """Return the source with its driver and with the facts that options give."""
    from realmaster_live.live.described import DescribedSource, Facts

    source: Source = bridge
    if route is not None:
        from realmaster_live.bridges.carla.bridge import CarlaBridge
        from realmaster_live.bridges.carla.route_driver import RouteSource

        assert isinstance(bridge, CarlaBridge)  # check_simulator: a game has no routes
        source = driven = RouteSource(bridge, route)
        print(f"route {route.name}: {driven.length_m:.0f} m")
    facts = Facts(
        route=None if route is None else route.name, seed=options.seed, licence=options.licence
    )
    return source if facts == Facts() else DescribedSource(source, facts)


def _game(options: World) -> GtavBridge:
    return open_game(
        options.game,
        size=options.size or DEFAULT_SIZE,
        fps=options.fps,
        fov_deg=options.fov_deg,
        labels=options.labels,
        timeout_s=options.timeout,
    )


def _carla(options: World) -> CarlaBridge:
    from realmaster_live.bridges.carla.bridge import CarlaBridge

    rig = _rig(options)
    return CarlaBridge(
        options.host or "127.0.0.1",
        options.port or 2000,
        ego=options.ego,
        rig=None if options.camera is not None else rig,
        labels=rig.cameras[0].labels,
        adopt=options.camera,
        synchronous=not options.passive,
        fixed_delta_s=1.0 / options.fps,
        timeout_s=options.timeout,
        objects=options.objects,
        sensors=_sensors(options, rig),
    )


def _sensors(options: World, rig: Rig) -> tuple[str, ...]:
    """Return the sensors besides the rig's: those given, or the usual ones of a recording."""
    from realmaster_live.frames.rig_sensors import USUAL_SENSORS

    if options.sensors is not None:
        return options.sensors
    if options.record is None or options.camera is not None:
        return ()  # a camera that is somebody's own need not be on a vehicle
    return tuple(kind for kind in USUAL_SENSORS if kind not in {one.name for one in rig.sensors})


def _rig(options: World) -> Rig:
    """Return the cameras to spawn: those of --rig, or the one that the other options describe."""
    from realmaster_live.frames.rig import DEFAULT_LABELS, Rig, RigCamera

    alone = {
        "--size": options.size,
        "--fov-deg": options.fov_deg,
        "--supersample": options.supersample,
        "--labels": options.labels,
        "--camera": options.camera,
    }
    if options.rig is not None:
        given = [flag for flag, value in alone.items() if value is not None]
        if given:
            raise ConfigError(
                f"expected --rig without {', '.join(alone)}, got {', '.join(given)}: write it in "
                f"{options.rig}"
            )
        return Rig.load(options.rig)
    width, height = options.size or DEFAULT_SIZE
    labels = DEFAULT_LABELS if options.labels is None else options.labels
    fov_deg = 80.0 if options.fov_deg is None else options.fov_deg
    camera = RigCamera(
        name="front",
        width=width,
        height=height,
        fov_deg=fov_deg,
        labels=labels,
        supersample=options.supersample or 1,
    )
    return Rig((camera,))


def _load_engines(
    stack: ExitStack,
    options: World,
    cameras: Mapping[str, CameraInfo],
    observed: Callable[[PromptedEngine], PromptedEngine],
    *,
    fps: float,
    spare: Sequence[str],
) -> dict[str, Any]:
    """Return camera -> its engine, shared by those of its size; print each; `stack` closes them."""
    from realmaster_live.engines.cameras import close_engines, load_engines
    from realmaster_live.live.wrapper import innermost

    engines = load_engines(
        options.engine,
        {name: (camera.width, camera.height) for name, camera in cameras.items()},
        together=options.fidelity.fidelity is None,  # the gate judges each camera's chunk alone
        spare=spare,
        wrap=lambda engine: observed(wrap(engine, options.fidelity)),
        fps=fps,
        prompt=options.prompt,
        **options.running.given(),
    )
    stack.callback(close_engines, engines)
    for one in {id(engine): engine for engine in engines.values()}.values():
        names = ", ".join(name for name, engine in engines.items() if engine is one)
        print(f"{names}: {innermost(one)!r}")
    return engines
