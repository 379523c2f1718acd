"""The first step: cuts sources into clips, and reports what is left out and why.

Clips never cross a gap and never mix sizes. Planning again with more sources adds their clips;
planning a source again replaces its clips. A clip's name follows from its source's name, its place
and its content, so it stays the same when the source is moved.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError, RecordingError
from realmaster_live.optional import require
from realmaster_live.training.pairs.cutting import SLOWER, LeftOut, PlanConfig, cut
from realmaster_live.training.pairs.manifest import read_clips, read_table, write_clips, write_table
from realmaster_live.training.pairs.reels import Reel, describe, find_reels
from realmaster_live.training.pairs.sources import read_frames, read_truth, source_exists
from realmaster_live.training.pairs.stage import Clip

pa = require("pyarrow", extra="training")

STILL_LEVELS = 0.05  # mean change of an eighth-size grey picture below which nothing moved
STANDING_M_S = 0.1  # a slower camera stands
MOSTLY = 0.8  # share of still frames above which a clip is noted
THREADS = min(4, os.cpu_count() or 1)  # that decode at once; each holds a whole clip
SHOWN = 20  # reasons in a report; all are in the file
LEFT_OUT = pa.schema(
    [
        ("source", pa.string()),
        ("first", pa.int64()),
        ("frames", pa.int64()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """What `plan` found.

    Attributes:
        clips: of the sources that were given. new: of them, not in the dataset before.
        replaced: clips that the dataset had of these sources and has no more.
        left_out: frames in no clip. notes: other remarks. dry_run: nothing was written.
    """

    clips: tuple[Clip, ...]
    new: int
    replaced: int
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    dry_run: bool

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        sizes = sorted({f"{c.width}x{c.height} at {c.fps:g} fps" for c in self.clips})
        sources = len({clip.source for clip in self.clips})
        first = self.clips[0].frames
        seconds = sum(clip.frames / clip.fps for clip in self.clips)
        lines = [
            f"{len(self.clips)} clips of {first} frames ({seconds:.0f} s), {', '.join(sizes)}, "
            f"of {sources} sources"
        ]
        if self.dry_run:
            lines.append("nothing written; damaged, still and double clips are found by a real run")
        else:
            lines.append(
                f"{self.new} are new, {self.replaced} older ones of these sources were replaced"
            )
        lines += self.notes
        reasons = reason_lines(self.left_out)
        if len(reasons) > SHOWN:
            more = f"{len(reasons) - SHOWN} more reasons are in manifest/left_out.parquet"
            reasons = [*reasons[:SHOWN], more]
        return lines + reasons


def reason_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line for every reason, with the frames that it cost."""
    by_reason: dict[str, list[LeftOut]] = {}
    for entry in left_out:
        by_reason.setdefault(entry.reason, []).append(entry)
    lines = []
    for reason, entries in by_reason.items():
        sources = {entry.source for entry in entries}
        frames = sum(entry.frames for entry in entries)
        names = Path(entries[0].source).name if len(sources) == 1 else f"{len(sources)} sources"
        lines.append(f"{f'{frames} frames of ' if frames else ''}{names} left out: {reason}")
    return lines


def plan(
    dataset: Path, config: PlanConfig, sources: Sequence[Path], *, dry_run: bool = False
) -> PlanReport:
    """Cut sources into clips and write the dataset's manifest.

    Raises:
        PairError: there is not one clip in all of them.
    """
    before = _clips_before(dataset)
    reels, left_out = _all_reels(sources)
    others = [c for c in before if Path(c.source) not in reels and source_exists(Path(c.source))]
    known = {(clip.sha256, clip.prompt): clip.clip_id for clip in others}
    clips: list[Clip] = []
    still = 0
    for path, kind in reels.items():
        try:
            reel = describe(kind, path)
            drafts, rest = cut(reel, config)
        except (PairError, RecordingError, OSError) as error:
            left_out.append(LeftOut(source=str(path), first=0, frames=0, reason=str(error)))
            continue
        left_out += rest
        if dry_run:
            clips += drafts
            continue
        with ThreadPoolExecutor(THREADS, thread_name_prefix="rm-plan") as pool:
            read = list(pool.map(partial(_read_pixels, reel=reel), drafts))
        for draft, pixels in zip(drafts, read, strict=True):
            finished = _finished(draft, pixels, config, known)
            if isinstance(finished, Clip):
                clips.append(finished)
                still += isinstance(pixels, PixelFacts) and pixels.still > MOSTLY
            else:
                left_out.append(finished)
    if not clips:
        raise PairError(_nothing(config, sources, left_out))
    names = {clip.clip_id for clip in clips}
    kept = {c.clip_id: c for c in before if Path(c.source) not in reels or c.clip_id in names}
    new = len(names - kept.keys())
    if not dry_run:
        write_clips(dataset, (kept | {clip.clip_id: clip for clip in clips}).values())
        _write_left_out(dataset, left_out, reels)
    return PlanReport(
        clips=tuple(clips),
        new=new,
        replaced=len(before) - len(kept),
        left_out=tuple(left_out),
        notes=tuple(_notes(clips, config, still)),
        dry_run=dry_run,
    )


def _all_reels(sources: Sequence[Path]) -> tuple[dict[Path, str], list[LeftOut]]:
    """Return path -> kind of every reel below the sources, and the sources without any."""
    reels: dict[Path, str] = {}
    empty: list[LeftOut] = []
    for source in sources:
        reason = "expected recordings, pairs, videos, pictures or a game's there, found none"
        found: dict[Path, str] = {}
        try:
            found = {path: kind for kind, path in find_reels(source.resolve())}
        except (OSError, PairError) as error:
            reason = str(error)
        reels |= found
        if not found:
            empty.append(LeftOut(source=str(source), first=0, frames=0, reason=reason))
    return reels, empty


def _notes(clips: Sequence[Clip], config: PlanConfig, still: int) -> list[str]:
    odd = Counter(clip.fps for clip in clips if abs(clip.fps / config.fps - 1) > 1 - SLOWER)
    notes = [
        f"{count} clips are at {fps:g} fps, the nearest to {config.fps:g} that their sources allow"
        for fps, count in sorted(odd.items())
    ]
    if still:
        notes.append(f"{still} clips hardly move: most_still = {MOSTLY} leaves them out")
    return notes


@dataclass(frozen=True, kw_only=True)
class PixelFacts:
    """Facts that take the pixels of a clip to know.

    Attributes:
        sha256: of them.
        still: share of frames in which nothing moves, or the camera stands.
    """

    sha256: str
    still: float


def _read_pixels(draft: Clip, reel: Reel) -> PixelFacts | PairError:
    """Read the pixels of a clip; returns the error where it is damaged."""
    try:
        frames = read_frames(draft)
        truth = read_truth(draft) if draft.truth else frames[:0]
    except PairError as error:
        return error
    sha256 = hashlib.sha256(frames.data)
    sha256.update(truth.data)
    still = still_share(frames)
    if reel.speeds is not None:
        speeds = reel.speeds[draft.first + 1 : draft.first + draft.frames * draft.stride]
        still = max(still, float((speeds < STANDING_M_S).mean()))
    return PixelFacts(sha256=sha256.hexdigest(), still=still)


def _finished(
    draft: Clip,
    pixels: PixelFacts | PairError,
    config: PlanConfig,
    known: dict[tuple[str, str], str],  # hash and prompt -> name
) -> Clip | LeftOut:
    """Return the clip with its name and hash, or the reason to leave it out."""
    if isinstance(pixels, PairError):
        return LeftOut.clip(draft, str(pixels))
    if pixels.still > config.most_still:
        return LeftOut.clip(draft, f"nothing moves in {pixels.still:.0%} of its frames")
    name = f"{draft.clip_id}-{pixels.sha256[:8]}"
    same = known.setdefault((pixels.sha256, draft.prompt), name)
    if same != name:
        return LeftOut.clip(draft, f"the same frames as {same}")
    return replace(draft, clip_id=name, sha256=pixels.sha256)


def still_share(frames: NDArray[np.uint8]) -> float:  # (T, H, W, 3)
    """Return the share of steps between frames in which the picture hardly changes."""
    small = [
        cv2.resize(frame, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
        for frame in frames
    ]
    grey = np.stack(small).astype(np.float32).mean(-1)
    changes = np.abs(np.diff(grey, axis=0)).mean((1, 2))
    return float((changes < STILL_LEVELS).mean())


def _clips_before(dataset: Path) -> list[Clip]:
    return read_clips(dataset) if (dataset / "manifest" / "clips.parquet").exists() else []


def _write_left_out(dataset: Path, left_out: Sequence[LeftOut], reels: Mapping[Path, str]) -> None:
    path = dataset / "manifest" / "left_out.parquet"
    rows = [asdict(entry) for entry in left_out]
    older = read_table(path, LEFT_OUT, remedy="delete it").to_pylist() if path.exists() else []
    kept = [row for row in older if Path(row["source"]) not in reels and row not in rows]
    write_table(path, pa.Table.from_pylist(kept + rows, schema=LEFT_OUT))


def _nothing(config: PlanConfig, sources: Sequence[Path], left_out: Sequence[LeftOut]) -> str:
    reasons = "; ".join(reason_lines(left_out)[:3])
    return (
        f"expected a clip of {config.frames} frames at {config.fps:g} fps in "
        f"{', '.join(map(str, sources))}, got none ({reasons}): give other sources, or change "
        "[plan]"
    )
