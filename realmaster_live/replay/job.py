"""A replay of many sequences: what each becomes, and how far it is.

A job keeps its plan, its leases and the attempts that failed in a folder of its own. A sequence is
made aside and moved to its place when it is whole; the recording itself says of what and how it was
made, so that a finished one is found again and never redone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.jobs.executors import RunConfig
from realmaster_live.recording.about import META, Meta
from realmaster_live.replay.footage import Footage, Reading, Size
from realmaster_live.replay.model_files import describe_model, fitted
from realmaster_live.system.atomic_files import part_of, settle

PLAN, TRIES, STATE = "plan.json", "tries", ".replay"
STAMP = "replay"  # key in the source of a recording's About
Status = Literal["done", "failed", "quarantined", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Realizing:
    """How frames are realized.

    Attributes:
        engine: as `load_engine` takes it. prompt: what is shown; None for what was recorded.
        seed: of the engine's noise. size: width and height; None for the footage's own, or the
            nearest that fits the model. lossless: keep every bit of the pictures.
        fidelity: what holds the pictures to the labels, as flags; empty for nothing.
    """

    engine: str = "embedded"
    prompt: str | None = None
    seed: int = 0
    size: tuple[int, int] | None = None
    lossless: bool = False
    fidelity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One sequence to make.

    Attributes:
        footage: of what. out: where it goes. sizes: camera -> width and height of the result.
        stamp: all that decides its pictures.
    """

    footage: Footage
    out: Path
    sizes: Mapping[str, Size]
    stamp: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return what to call it."""
        return self.out.name


@dataclass(frozen=True, kw_only=True)
class Try:
    """How many attempts at a piece failed so far, and the last one's traceback."""

    attempts: int = 0
    error: str = ""

    @property
    def reason(self) -> str:
        """Return the last line of the error."""
        return (self.error.strip().splitlines() or [""])[-1]


@dataclass(frozen=True, kw_only=True)
class Job:
    """All of it.

    Attributes:
        pieces: in order. state: folder of plan, leases and tries.
        overwrite: replace outputs that were made otherwise. run: how workers work.
    """

    pieces: Sequence[Piece]
    reading: Reading
    realizing: Realizing
    state: Path
    overwrite: bool = False
    run: RunConfig = field(default_factory=RunConfig)

    def write(self) -> None:
        """Keep the plan for workers to read."""
        path = self.state / PLAN
        with part_of(path) as part:
            part.write_text(json.dumps(asdict(self), default=str, indent=1), encoding="utf-8")
            settle(part, path)

    @classmethod
    def read(cls, state: Path) -> Job:
        """Return the plan that a job keeps."""
        try:
            told = json.loads((state / PLAN).read_text(encoding="utf-8"))
            return cls(
                pieces=[_piece(one) for one in told["pieces"]],
                reading=Reading(**_tuples(told["reading"])),
                realizing=Realizing(**_tuples(told["realizing"])),
                state=state,
                overwrite=told["overwrite"],
                run=RunConfig(**_tuples(told["run"])),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"expected the plan of a replay in {state / PLAN}, got {error!r}: start it with "
                "realmaster replay INPUT --out DIR"
            ) from error

    def status(self, piece: Piece) -> Status:
        """Return how far a piece is."""
        if found(piece.out) == piece.stamp:
            return "done"
        attempts = self.tried(piece).attempts
        if attempts >= self.run.attempts:
            return "quarantined"
        return "failed" if attempts else "waiting"

    def tried(self, piece: Piece) -> Try:
        """Return what came of the attempts at a piece under its present stamp."""
        try:
            told = json.loads(self._tries(piece).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Try()
        if told.pop("stamp") != piece.stamp:
            return Try()
        return Try(**told)

    def note(self, piece: Piece, tried: Try) -> None:
        """Keep what came of the attempts at a piece."""
        path = self._tries(piece)
        with part_of(path) as part:
            told = {**asdict(tried), "stamp": piece.stamp}
            part.write_text(json.dumps(told), encoding="utf-8")
            settle(part, path)

    def forget(self, piece: Piece) -> None:
        """Give a piece all its attempts again."""
        self._tries(piece).unlink(missing_ok=True)

    def _tries(self, piece: Piece) -> Path:
        return self.state / TRIES / f"{piece.name}.json"


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
        ConfigError: an output holds something else, or was made otherwise and may not be replaced.
    """
    out = out.resolve()
    alone = len(inputs) == 1
    if not alone and out.is_dir() and any(out.iterdir()) and not (out / STATE).is_dir():
        raise ConfigError(
            f"expected a new folder or one of an earlier replay at {out}, got one that holds "
            f"something else ({next(out.iterdir()).name}): name another --out"
        )
    places = [out] if alone else [out / name for name in _names(inputs)]
    pieces = []
    for footage, place in zip(inputs, places, strict=True):
        piece = piece_of(footage, place, reading, realizing)
        _check_place(piece, overwrite)
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
    """Return what is to become of one input."""
    sha256, stride = describe_model(realizing.engine)
    sizes = {
        name: realizing.size or fitted(*size, stride) for name, size in footage.cameras.items()
    }
    stamp = {
        "input": footage.name,
        "input_sha256": footage.sha256,
        "engine": realizing.engine,
        "engine_sha256": sha256,
        "prompt": realizing.prompt,
        "seed": realizing.seed,
        "sizes": {name: list(size) for name, size in sizes.items()},
        "fps": footage.fps,
        "labels": None if reading.labels is None else list(reading.labels),
        "lossless": realizing.lossless,
        "fidelity": json.loads(json.dumps(dict(realizing.fidelity))),
    }
    return Piece(footage=footage, out=out, sizes=sizes, stamp=stamp)


def found(out: Path) -> Mapping[str, Any] | None:
    """Return the stamp of a whole recording that a replay left, None of anything else."""
    try:
        meta = Meta.read(out)
    except RecordingError:
        return None
    stamp = meta.about.source.get(STAMP)
    return stamp if meta.complete and isinstance(stamp, dict) else None


def _check_place(piece: Piece, overwrite: bool) -> None:
    out = piece.out
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    stamp = found(out)
    if stamp == piece.stamp or (overwrite and (out / META).exists()):
        return
    if stamp is None:
        got = "an unfinished recording" if (out / META).exists() else "something else"
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


def _piece(told: dict[str, Any]) -> Piece:
    footage = told["footage"]
    return Piece(
        footage=Footage(**{**footage, "cameras": _tuples(footage["cameras"])}),
        out=Path(told["out"]),
        sizes=_tuples(told["sizes"]),
        stamp=told["stamp"],
    )


def _tuples(values: Any) -> Any:
    """Return what JSON made lists of as tuples again."""
    if isinstance(values, dict):
        return {name: _tuples(value) for name, value in values.items()}
    return tuple(_tuples(value) for value in values) if isinstance(values, list) else values
