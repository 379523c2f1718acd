"""A replay job: which recordings are made of which footage, and how.

A job keeps its plan, its leases and its failed attempts in a folder of its own. Every recording
carries a stamp of what it was made of and how, so that a finished one is found and never redone.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from realmaster_live.engines.options import QualityOptions
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.jobs.work import DONE, FAILED, QUARANTINED, WAITING, RunConfig, Status
from realmaster_live.recording.about import META, Meta
from realmaster_live.replay.footage import Footage, Reading, Size
from realmaster_live.replay.model_files import (
    autoencoder_hashes,
    describe_model,
    fitted,
    needed_sha256,
)
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.records import encode, read_record

PLAN, FAILURES, STATE = "plan.json", "tries", ".replay"
WHERE = ("device", "compile")  # options that do not decide the pictures
STAMP = "replay"  # key in the source of a recording's About


@dataclass(frozen=True, kw_only=True)
class Realizing:
    """How frames are realized.

    Attributes:
        engine: as `load_engine` takes it. running: how it runs.
        prompt: None for the prompts that were recorded.
        seed: of the engine's noise. lossless: store the pictures without loss.
        fidelity: flags of the colour lock and of the gate by labels; empty for neither.
    """

    engine: str = "embedded"
    running: QualityOptions = field(default_factory=QualityOptions)
    prompt: str | None = None
    seed: int = 0
    lossless: bool = False
    fidelity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One recording to make.

    Attributes:
        footage: that it is made of. out: its folder.
        sizes: camera -> width and height of the realized pictures.
        stamp: everything that decides its pictures.
    """

    footage: Footage
    out: Path
    sizes: Mapping[str, Size]
    stamp: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return its name, which is also its key in the job."""
        return self.out.name


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The number of failed attempts at a piece, the last one's traceback, and the piece's stamp."""

    attempts: int = 0
    error: str = ""
    stamp: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Several recordings to make.

    Attributes:
        pieces: in order. state: folder of plan, leases and failures.
        overwrite: replace recordings that were made otherwise. run: how workers work.
    """

    pieces: Sequence[Piece]
    reading: Reading
    realizing: Realizing
    state: Path
    overwrite: bool = False
    run: RunConfig = field(default_factory=RunConfig)

    def make_room(self) -> None:
        """Make the folder of the job's state; ConfigError where nothing can be written there."""
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            got = "" if os.access(self.state, os.W_OK) else "one that is read-only"
        except OSError as error:
            got = str(error.strerror)
        if got:
            raise ConfigError(
                f"expected a place that can be written at {self.state.parent}, got {got}: give "
                "--out another one"
            )

    def write(self) -> None:
        """Keep the plan for workers to read."""
        write_bytes(self.state / PLAN, encode(self))

    @classmethod
    def read(cls, state: Path) -> Job:
        """Return the plan that a job keeps in its folder.

        Raises:
            ConfigError: there is none, or it names places that are not beside the folder.
        """
        path = state / PLAN
        start = "start it with realmaster replay INPUT --out DIR"
        job = read_record(
            path,
            cls,
            what="the plan of a replay",
            remedy=start,
            error=ConfigError,
            renamed={"told": "origin"},
        )
        for piece in job.pieces:
            if piece.out != state.parent / piece.name or piece.name in ("", "..", state.name):
                raise ConfigError(
                    f"expected {path} to name recordings in {state.parent}, got {piece.out}: "
                    f"{start}"
                )
        return replace(job, state=state)

    def status(self, piece: Piece) -> Status:
        """Return how far a piece is."""
        if stamp_of(piece.out) == piece.stamp:
            return DONE
        attempts = self.failures(piece).attempts
        if attempts >= self.run.attempts:
            return QUARANTINED
        return FAILED if attempts else WAITING

    def failures(self, piece: Piece) -> Failures:
        """Return the failed attempts at a piece; those under another stamp do not count."""
        path = self._failures(piece)
        if not path.exists():
            return Failures()
        remedy = "give --retry to try it from the beginning"
        found = read_record(path, Failures, what="attempts", remedy=remedy, error=ConfigError)
        return found if found.stamp == piece.stamp else Failures()

    def record_failure(self, piece: Piece, attempts: int, error: str) -> None:
        """Keep how many attempts at a piece have failed, and the traceback of the last one."""
        content = Failures(attempts=attempts, error=error, stamp=piece.stamp)
        write_bytes(self._failures(piece), encode(content))

    def forget_failures(self, piece: Piece) -> None:
        """Give a piece all its attempts again."""
        self._failures(piece).unlink(missing_ok=True)

    def _failures(self, piece: Piece) -> Path:
        return self.state / FAILURES / f"{piece.name}.json"


def plan(
    inputs: Sequence[Footage],
    out: Path,
    reading: Reading,
    realizing: Realizing,
    *,
    overwrite: bool = False,
    run: RunConfig | None = None,
) -> Job:
    """Return the job that makes a recording `out` of one input, or `out`/NAME of each of several.

    Raises:
        ConfigError: an output is an input, holds something else, or was made otherwise and may not
            be replaced.
    """
    out = out.resolve()
    alone = len(inputs) == 1
    if not alone and out.is_dir() and any(out.iterdir()) and not (out / STATE).is_dir():
        raise ConfigError(
            f"expected a new folder or one of an earlier replay at {out}, got one that holds "
            f"something else ({next(out.iterdir()).name}): name another --out"
        )
    places = [out] if alone else [out / name for name in _names(inputs)]
    for footage, place in itertools.product(inputs, places):
        if Path(footage.path).resolve().is_relative_to(place):
            raise ConfigError(
                f"expected --out apart from the inputs, got {place}, which holds {footage.path}: "
                "name another --out"
            )
    pieces = []
    for footage, place in zip(inputs, places, strict=True):
        piece = piece_of(footage, place, reading, realizing)
        check_place(piece, overwrite=overwrite)
        pieces.append(piece)
    return Job(
        pieces=pieces,
        reading=reading,
        realizing=realizing,
        state=out.with_name(f".{out.name}{STATE}") if alone else out / STATE,
        overwrite=overwrite,
        run=run or RunConfig(),
    )


def piece_of(footage: Footage, out: Path, reading: Reading, realizing: Realizing) -> Piece:
    """Return the recording that one input becomes."""
    sha256, stride = describe_model(realizing.engine)
    sizes = {
        name: fitted(*size, stride) if reading.size in (None, size) else reading.size
        for name, size in footage.cameras.items()
    }
    stamp: dict[str, Any] = {
        "input": footage.name,
        "input_sha256": footage.sha256,
        "engine": realizing.engine,
        "engine_sha256": sha256,
        "running": decisive(realizing.running, realizing.engine),
        "prompt": realizing.prompt,
        "seed": realizing.seed,
        "sizes": sizes,
        "fps": footage.fps,
        "labels": reading.labels,
        "lossless": realizing.lossless,
        "fidelity": dict(realizing.fidelity),
    }
    stamp = json.loads(json.dumps(stamp))  # as it is read back
    return Piece(footage=footage, out=out, sizes=sizes, stamp=stamp)


def stamp_of(out: Path) -> Mapping[str, Any] | None:
    """Return the stamp of a finished recording by a replay, None of anything else."""
    try:
        meta = Meta.read(out)
    except RecordingError:
        return None
    stamp = meta.about.source.details.get(STAMP)
    if not meta.complete or not isinstance(stamp, dict):
        return None
    return {"running": {}, **stamp}  # earlier versions had no such options


def decisive(running: QualityOptions, engine: str) -> dict[str, Any]:
    """Return what decides the pictures of how a model runs; files by their content.

    Raises:
        ConfigError: a LoRA file is not there.
    """
    plain = {name: value for name, value in running.given().items() if name not in WHERE}
    if running.adapter:
        plain["adapter"] = [
            [needed_sha256(path, what="a LoRA file"), strength]
            for path, strength in running.adapter
        ]
    if running.autoencoder is not None:
        plain["autoencoder"] = autoencoder_hashes(running.autoencoder, Path(engine))
    return plain


def check_place(piece: Piece, *, overwrite: bool) -> None:
    """Raise ConfigError where the folder of a piece holds what may not be replaced."""
    out = piece.out
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    stamp = stamp_of(out)
    if stamp == piece.stamp or (overwrite and (out / META).exists()):
        return
    if stamp is None:
        got = "another recording" if (out / META).exists() else "something else"
        raise ConfigError(
            f"expected a new folder or an earlier replay at {out}, got {got}: name another --out"
            + (", or replace it with --overwrite" if (out / META).exists() else "")
        )
    name = next(key for key in piece.stamp if stamp.get(key) != piece.stamp[key])
    raise ConfigError(
        f"expected {out} to be made with {name} {piece.stamp[name]!r}, got one with "
        f"{stamp.get(name)!r}: replace it with --overwrite, or name another --out"
    )


def _names(inputs: Sequence[Footage]) -> list[str]:
    """Return one name an input, each once, safe as a folder's."""
    names: list[str] = []
    for footage in inputs:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", footage.name).strip("-.") or "sequence"
        same = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{same + 1}" if same else name)
    return names
