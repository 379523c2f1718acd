"""Makes the films of methods piece by piece; each piece is a file that is named by its hash.

What is made once is never made again, and never paid again: a run that is repeated goes on where
the last one ended.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.atomic_files import replacing, write_json
from realmaster_live.training.evaluate.baselines.baseline import Baseline, PaidBaseline, Piece
from realmaster_live.training.evaluate.baselines.fitting import resized, spans
from realmaster_live.training.evaluate.drives.films import first_frames
from realmaster_live.training.evaluate.drives.sources import DriveSource
from realmaster_live.training.pairs.videos import write_video

av = require("av", extra="live")

VERSION = 1  # increased when the same parameters make another film


@dataclass(frozen=True, kw_only=True)
class Render:
    """The rendered film of a drive or clip.

    Attributes:
        source: whose pictures they are. count: how many, from the first on.
    """

    source: DriveSource
    count: int

    @classmethod
    def of(cls, source: DriveSource, seconds: float | None = None) -> Render:
        """Return the film of a drive, or of its first seconds."""
        return cls(source=source, count=first_frames(seconds, source.fps, len(source)))

    def pieces(self, wanted: Sequence[range]) -> Iterator[Piece]:
        """Yield the frames of ascending spans, in one pass over the film."""
        samples, place = self.source.samples(streams=("sim",)), 0
        for span in wanted:
            passed = islice(samples, span.start - place, span.stop - place)
            yield Piece(frames=np.stack([each.image for each in passed]), fps=self.source.fps)
            place = span.stop


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a film, made or not.

    Attributes:
        span: its frames.
        seconds: how long it is.
        path: where its film is, or will be.
    """

    span: range
    seconds: float
    path: Path

    @property
    def is_made(self) -> bool:
        """Return whether its film is there."""
        return self.path.is_file()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All pieces of a method's film of a render."""

    method: str
    baseline: Baseline
    render: Render
    parts: tuple[Part, ...]

    @property
    def to_order(self) -> list[Part]:
        """Return the pieces that are to be paid: neither made nor ordered."""
        if not isinstance(self.baseline, PaidBaseline):
            return []
        return [
            part
            for part in self.parts
            if not part.is_made and not self.baseline.is_ordered(part.path)
        ]

    @property
    def usd(self) -> float:
        """Return what they cost."""
        if not isinstance(self.baseline, PaidBaseline):
            return 0.0
        return sum(self.baseline.usd(part.seconds) for part in self.to_order)


def plan(method: str, baseline: Baseline, render: Render, folder: Path) -> Plan:
    """Return which pieces a method makes of a render; reads the render, makes nothing."""
    fps = render.source.fps
    decided = [method, VERSION, dict(baseline.parameters), fps]
    parts, wanted = [], spans(render.count, baseline.window(fps))
    for span, piece in zip(wanted, render.pieces(wanted), strict=True):
        text = json.dumps([*decided, piece.sha256], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        path = folder / method / f"{key}.mp4"
        parts.append(Part(span=span, seconds=piece.seconds, path=path))
    return Plan(method=method, baseline=baseline, render=render, parts=tuple(parts))


def make(
    chosen: Plan, film: Path, report: Callable[[str], object] = lambda line: None
) -> Mapping[str, float]:
    """Make the pieces that are missing and write the whole film; return facts about the work.

    The facts are how many frames there are, and the seconds and dollars that they once took.

    Raises:
        PairError: a piece cannot be made; those before it are kept.
    """
    todo = [part for part in chosen.parts if not part.is_made]
    name = chosen.render.source.name
    for part, piece in zip(todo, chosen.render.pieces([p.span for p in todo]), strict=True):
        first, last = part.span.start, part.span.stop - 1
        report(f"{chosen.method}: frames {first} to {last} of {name}")
        _make_part(chosen, part, piece)
    join([part.path for part in chosen.parts], film)
    facts = [_facts(part.path) for part in chosen.parts]
    totals = {key: sum(each.get(key, 0.0) for each in facts) for key in ("seconds", "usd")}
    return {"frames": float(chosen.render.count), **totals}


def _make_part(chosen: Plan, part: Part, piece: Piece) -> None:
    """Make one piece and write its film and, beside it, what it took."""
    baseline = chosen.baseline
    part.path.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    made = baseline.realize(piece, part.path)
    if len(made) != len(piece.frames):
        raise PairError(
            f"expected {len(piece.frames)} frames of {chosen.method} for frames {part.span.start} "
            f"to {part.span.stop - 1} of {chosen.render.source.name}, got {len(made)}: the method "
            "has changed the length, so it cannot be compared frame by frame"
        )
    paid = baseline.usd(part.seconds) if isinstance(baseline, PaidBaseline) else 0.0
    facts = {
        "method": chosen.method,
        "frames": len(made),
        "made_at": list(made.shape[2:0:-1]),
        "seconds": round(time.perf_counter() - began, 6),
        "usd": round(paid, 4),
        "parameters": dict(baseline.parameters),
    }
    write_json(part.path.with_suffix(".json"), facts)
    with replacing(part.path) as hidden:
        write_video(hidden, resized(made, piece.size), piece.fps)


def join(pieces: Sequence[Path], film: Path) -> None:
    """Write films of one size and encoder one behind the other, without encoding them again."""
    film.parent.mkdir(parents=True, exist_ok=True)
    with replacing(film) as hidden, av.open(str(hidden.absolute()), "w") as whole:
        stream, start = None, 0
        for path in pieces:
            with av.open(str(path.absolute())) as part:
                [given] = part.streams.video
                stream = stream or whole.add_stream_from_template(given)
                end = start
                for packet in part.demux(given):
                    if packet.pts is None:  # the one that ends the film
                        continue
                    packet.pts, packet.dts = packet.pts + start, packet.dts + start
                    packet.stream, end = stream, max(end, packet.pts + packet.duration)
                    whole.mux(packet)
                start = end


def _facts(path: Path) -> Mapping[str, float]:
    """Return the numbers of a piece's facts; nothing where they are gone."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return {name: float(found[name]) for name in ("seconds", "usd")}
    except (OSError, ValueError, KeyError, TypeError):  # only the account of the work is lost
        return {}
