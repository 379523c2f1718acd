"""`realmaster replay`: realize recordings, videos, pictures and logs anew."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from realmaster_live.cli import fidelity_options
from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `replay`."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="a recording, a folder of recordings, a video, a folder of pictures, or a CARLA log",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="a recording of one input, DIR/NAME of several"
    )
    parser.add_argument(
        "--size", type=flags.size, metavar="WxH", help="default: the input's, or the nearest"
    )
    parser.add_argument(
        "--fps", type=float, help="of pictures and logs; videos are resampled to it"
    )
    parser.add_argument("--labels", type=flags.labels, help="default: all that are there")
    parser.add_argument("--seed", type=int, default=0, help="of the engine's noise (default: 0)")
    parser.add_argument("--lossless", action="store_true", help="keep every bit of the pictures")
    parser.add_argument("--carla", type=server, metavar="HOST:PORT", help="server of .log files")
    parser.add_argument("--overwrite", action="store_true", help="replace what was made otherwise")
    parser.add_argument("--retry", action="store_true", help="try inputs in quarantine again")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made")
    parser.add_argument("--quiet", action="store_true", help="no bar and no figures")
    parser.add_argument("--executor", choices=("local", "slurm", "ray"), default="local")
    parser.add_argument("--workers", type=int, default=1, metavar="N")
    parser.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="for Slurm, repeatable"
    )
    parser.add_argument("--work", type=Path, metavar="STATE", help=argparse.SUPPRESS)
    parser.add_argument("--shard", type=flags.shard, default=(0, 1), help=argparse.SUPPRESS)
    fidelity_options.add(parser)
    flags.add_engine(parser)
    flags.add_prompt(parser)
    flags.add_view(parser)
    flags.add_video(parser)


def server(text: str) -> tuple[str, int]:
    """Return host and port of text such as 127.0.0.1:2000."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text!r}")
    return host, int(port)


def run(options: argparse.Namespace) -> int:
    """Realize every input; returns 3 where some are in quarantine."""
    if options.work is not None:
        return _work(options)
    from realmaster_live.cli import replay_job
    from realmaster_live.jobs.work import RunConfig
    from realmaster_live.replay.footage import Reading
    from realmaster_live.replay.job import Job, Realizing, piece_of, plan
    from realmaster_live.replay.kinds import find_footage

    _check(options)
    reading = Reading(
        fps=options.fps, labels=options.labels, size=options.size, server=options.carla
    )
    inputs = [footage for text in options.inputs for footage in find_footage(text, reading)]
    realizing = Realizing(
        engine=options.engine,
        prompt=options.prompt,
        seed=options.seed,
        size=options.size,
        lossless=options.lossless,
        fidelity=_fidelity(options),
    )
    looks = options.view or options.video is not None
    if len(inputs) > 1 and (options.out is None or looks):
        raise ConfigError(
            f"expected one input for --view, --video or no --out, got {len(inputs)}: give --out "
            "DIR without them"
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
            run=RunConfig(sbatch=tuple(options.sbatch)),
        )
    if options.dry_run:
        return replay_job.foretell(job, options.executor, options.workers)
    if options.out is None:
        return replay_job.look_at(job, options)
    if len(inputs) > 1 or options.executor != "local":
        return replay_job.realize_all(job, options)
    return replay_job.realize_one(job, options)


def _fidelity(options: argparse.Namespace) -> dict[str, Any]:
    """Return the flags of the lock and the gate, where one is given."""
    names = ("fidelity", "lock", "lock_classes", "least", "judge")
    told = {name: getattr(options, name) for name in names}
    asked = any(value not in (None, False, {}) for value in told.values())
    return {**told, "attempts": options.attempts} if asked else {}


def _check(options: argparse.Namespace) -> None:
    if not options.inputs:
        raise ConfigError(
            "expected a recording, a video, a folder of pictures or a log, got none: name some"
        )
    if options.workers < 1:
        raise ConfigError(f"expected --workers of 1 or more, got {options.workers}: give a number")
    if options.fps is not None and not 0 < options.fps < 1000:
        raise ConfigError(f"expected --fps above 0, got {options.fps:g}: give frames a second")
    if options.out is None and (options.dry_run or options.executor != "local"):
        raise ConfigError("expected --out DIR with --dry-run and --executor, got none: give it")


def _work(options: argparse.Namespace) -> int:
    from realmaster_live.cli.replay_job import open_work
    from realmaster_live.jobs.worker import Worker
    from realmaster_live.system.termination import termination_raises

    with termination_raises(), open_work(str(options.work), workers=options.shard[1]) as work:
        print(f"replay: {Worker(work, shard=options.shard).run()} made")
    return 0
