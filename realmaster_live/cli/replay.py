"""`realmaster replay`: realize recordings, videos, pictures and logs again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.displays import Displays, Telemetry
from realmaster_live.cli.fidelity import Fidelity
from realmaster_live.cli.values import Address, Flag, Labels, Rate, Shard
from realmaster_live.cli.workers import WorkerOptions
from realmaster_live.engines.options import QualityOptions
from realmaster_live.errors import ConfigError
from realmaster_live.sinks.opening import DisplayOptions, check_outputs
from realmaster_live.telemetry.options import TelemetryOptions


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Realize recordings, videos, pictures and CARLA logs again, or for the first time.

    Attributes:
        inputs: A recording, a folder of recordings, a video, a folder of pictures, or a CARLA log.
        out: Where a recording of one input goes; recordings of several go into folders of this one.
            Without it, nothing is kept.
        size: Size of the pictures. Without it, the input's, or the nearest that fits the engine.
        fps: Frames a second of pictures and logs; videos are resampled to it.
        labels: Labels to take over, out of depth, semantic, instance and flow, or none. Without it,
            all that are there.
        seed: Seed of the engine's noise.
        lossless: Keep every bit of the pictures, in files about ten times as large.
        carla: The server that replays CARLA logs.
        overwrite: Replace recordings that were made with other options.
        dry_run: Say what would be made, and make nothing.
        quiet: Show no progress and no figures.
        sbatch: An option for Slurm, such as --sbatch=--gres=gpu:1. This may be repeated.
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        prompt: The weather or look to show, such as rain. Without it, what was recorded.
        work: Work on the job in this folder, as executors start it.
        shard: Which share of the job to begin with.
    """

    inputs: Annotated[tuple[str, ...], Flag(positional=True, metavar="INPUT")] = ()
    out: Annotated[Path | None, Flag(metavar="DIR")] = None
    size: tuple[int, int] | None = None
    fps: Rate | None = None
    labels: Labels | None = None
    seed: int = 0
    lossless: bool = False
    carla: Address | None = None
    overwrite: bool = False
    dry_run: bool = False
    quiet: bool = False
    sbatch: Annotated[tuple[str, ...], Flag(metavar="OPTION")] = ()
    engine: Annotated[str, Flag(metavar="NAME|DIR")] = "embedded"
    prompt: str | None = None
    running: QualityOptions = field(default_factory=QualityOptions)
    work: Annotated[Path | None, Flag(hidden=True)] = None
    shard: Annotated[Shard, Flag(hidden=True)] = (0, 1)
    pool: WorkerOptions = field(default_factory=WorkerOptions)
    fidelity: Fidelity = field(default_factory=Fidelity)
    display: Displays = field(default_factory=DisplayOptions)
    telemetry: Telemetry = field(default_factory=TelemetryOptions)


def run(options: Replay) -> int:
    """Realize every input; returns 3 where some are in quarantine."""
    if options.work is not None:
        return _work(options)
    from realmaster_live.cli import replay_job
    from realmaster_live.jobs.work import RunConfig
    from realmaster_live.replay.footage import Reading
    from realmaster_live.replay.job import Job, Realizing, piece_of, plan
    from realmaster_live.replay.kinds import find_footage

    _check(options)
    check_outputs(options.display)
    reading = Reading(
        fps=options.fps, labels=options.labels, size=options.size, server=options.carla
    )
    inputs = [footage for text in options.inputs for footage in find_footage(text, reading)]
    realizing = Realizing(
        engine=options.engine,
        prompt=options.prompt,
        running=options.running,
        seed=options.seed,
        lossless=options.lossless,
        fidelity=asdict(options.fidelity) if options.fidelity.is_given else {},
    )
    is_watched = options.display.is_given or options.telemetry.is_given
    if len(inputs) > 1 and (options.out is None or is_watched):
        raise ConfigError(
            "expected one input for --view, --video, --to, --metrics, --traces or no --out, got "
            f"{len(inputs)}: give --out DIR without them"
        )
    if options.out is None:
        piece = piece_of(inputs[0], Path(), reading, realizing)
        job = Job(pieces=[piece], reading=reading, realizing=realizing, state=Path())
    else:
        job = plan(
            inputs,
            options.out,
            reading,
            realizing,
            overwrite=options.overwrite,
            run=RunConfig(sbatch=options.sbatch),
        )
    if options.dry_run:
        return replay_job.announce(job, options.pool.executor, options.pool.workers)
    if options.out is None:
        return replay_job.watch(job, options.display, options.telemetry, quiet=options.quiet)
    if len(inputs) > 1 or options.pool.executor != "local":
        return replay_job.realize_all(job, options.pool, quiet=options.quiet)
    return replay_job.realize_one(job, options.display, options.telemetry, quiet=options.quiet)


def _check(options: Replay) -> None:
    if not options.inputs:
        raise ConfigError(
            "expected a recording, a video, a folder of pictures or a log, got none: name some"
        )
    if options.out is None and (options.dry_run or options.pool.executor != "local"):
        raise ConfigError("expected --out DIR with --dry-run and --executor, got none: give it")


def _work(options: Replay) -> int:
    from realmaster_live.cli.replay_job import open_work
    from realmaster_live.jobs.worker import Worker
    from realmaster_live.system.termination import termination_raises

    with termination_raises(), open_work(str(options.work), workers=options.shard[1]) as work:
        print(f"replay: {Worker(work, shard=options.shard).run()} made")
    return 0
