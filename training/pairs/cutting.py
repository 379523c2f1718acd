"""Cuts a reel into clips: 4 k + 1 frames at the wanted rate and size, across no break.

Frames that are in no clip are reported with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.prompts import WEATHERS
from realmaster_live.replay.game_source import LAYOUTS
from realmaster_live.training.data import AS_SIMULATED
from realmaster_live.training.pairs.captions import caption_of
from realmaster_live.training.pairs.reels import Reel
from realmaster_live.training.pairs.sources import MULTIPLE
from realmaster_live.training.pairs.stage import Clip, Origin

KEEP = "keep"
PICTURED = ("images", *LAYOUTS)
SLOWER = 0.99  # of the wanted rate: a source that is slower than this is refused


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Table [plan].

    Attributes:
        frames: of a clip, 4 k + 1.
        fps: frames a second; of a faster source every n-th frame is taken, a slower one is refused.
        size: width and height in pixels, multiples of 16, such as "832x480", or "keep" for the
            source's own, less what exceeds a multiple of 16.
        overlap: frames that consecutive clips share.
        most_clips: of one source, spread over it; 0 for all.
        need_labels: a source without these labels is left out.
        most_still: a clip with a larger share of frames in which nothing moves, or the camera
            stands, is left out; 1 keeps all.
        captions: how clips are described whose source has no prompt: as "texts" for a text encoder,
            from weather, time of day and town; as "names" of learnt prompts, such as the embedded
            model's; or "auto", which is names for sources with a truth of their own.
        prompt: for sources without one, in place of a caption. licence: for sources without one.
        image_fps: frame rate of picture folders and game recordings that do not state theirs; 0
            assumes `fps`.
    """

    frames: int = 81
    fps: float = 16.0
    size: str = "832x480"
    overlap: int = 0
    most_clips: int = 0
    need_labels: tuple[str, ...] = ()
    most_still: float = 1.0
    captions: Literal["auto", "texts", "names"] = "auto"
    prompt: str = ""
    licence: str = ""
    image_fps: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigError for values that no clip can have."""
        if self.frames < 5 or self.frames % 4 != 1:
            below = max(5, (self.frames - 1) // 4 * 4 + 1)
            nearest = min((below, below + 4), key=lambda n: abs(n - self.frames))
            raise ConfigError(
                f"expected frames of 4 k + 1, at least 5, got {self.frames}: the nearest is "
                f"{nearest}"
            )
        if not 0 <= self.overlap < self.frames:
            raise ConfigError(
                f"expected an overlap from 0 to {self.frames - 1} frames, got {self.overlap}: "
                "choose a smaller one"
            )
        if not self.fps > 0 or self.image_fps < 0 or self.most_clips < 0:
            raise ConfigError(
                f"expected positive fps and no negative numbers, got fps {self.fps}, image_fps "
                f"{self.image_fps}, most_clips {self.most_clips}: mend [plan]"
            )
        _ = self.wanted_size

    @property
    def wanted_size(self) -> tuple[int, int] | None:
        """Return width and height; None to keep the source's."""
        if self.size == KEEP:
            return None
        found = re.fullmatch(r"(\d+)x(\d+)", self.size)
        size = (int(found[1]), int(found[2])) if found else (0, 0)
        if min(size) < MULTIPLE or size[0] % MULTIPLE or size[1] % MULTIPLE:
            near = (max(MULTIPLE, round(x / MULTIPLE) * MULTIPLE) for x in size)
            raise ConfigError(
                f"expected a size of multiples of {MULTIPLE}, or {KEEP!r}, got {self.size!r}: "
                + (f"the nearest is {'x'.join(map(str, near))}" if found else "write 832x480")
            )
        return size


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Frames of a source that are in no clip: from `first` on so many, and why; 0 for all of it."""

    source: str
    first: int
    frames: int
    reason: str

    @classmethod
    def clip(cls, clip: Clip, reason: str) -> LeftOut:
        """Return that the frames of a clip are left out."""
        span = source_frames(clip)
        return cls(source=clip.source, first=clip.first, frames=span, reason=reason)


def cut(reel: Reel, config: PlanConfig) -> tuple[list[Clip], list[LeftOut]]:
    """Return the clips of a reel, as yet without hash, and what is in none of them.

    Raises:
        PairError: the whole reel is of no use.
    """
    missing = [name for name in config.need_labels if name not in reel.labels]
    if missing:
        raise PairError(f"it has no label {', '.join(missing)}")
    fps = reel.fps or (config.image_fps if reel.kind in PICTURED else 0.0) or config.fps
    if fps < config.fps * SLOWER:
        raise PairError(f"its {fps:g} frames a second are fewer than the wanted {config.fps:g}")
    stride = _stride(fps, config.fps)
    origin = {field.name: getattr(reel, field.name) for field in fields(Origin)}
    origin["licence"] = reel.licence or config.licence
    step = (config.frames - config.overlap) * stride
    drafts: list[Clip] = []
    left_out = _unreadable(reel)
    for first, stop, why in _runs(reel):
        width, height = config.wanted_size or reel.sizes[first] // MULTIPLE * MULTIPLE
        if min(width, height) < MULTIPLE:
            raise PairError(f"its pictures are smaller than {MULTIPLE}x{MULTIPLE}")
        rest = first
        for place in range(first, stop - (config.frames - 1) * stride, step):
            draft = Clip(
                clip_id=f"{_slug(reel.name)}-{place:06d}",
                source=str(reel.path),
                kind=reel.kind,
                first=place,
                frames=config.frames,
                fps=fps / stride,
                stride=stride,
                width=int(width),
                height=int(height),
                sha256="",
                **origin | {"prompt": _prompt(reel, config, len(drafts))},
            )
            drafts.append(draft)
            rest = place + source_frames(draft)
        if rest < stop:
            why = why or f"too few for another clip of {config.frames}"
            left_out.append(
                LeftOut(source=str(reel.path), first=rest, frames=stop - rest, reason=why)
            )
    chosen = _spread(drafts, config.most_clips)
    enough = f"{config.most_clips} clips of a source are enough"
    places = {draft.first for draft in chosen}
    left_out += [LeftOut.clip(draft, enough) for draft in drafts if draft.first not in places]
    return chosen, left_out


def _prompt(reel: Reel, config: PlanConfig, number: int) -> str:
    """Return a clip's prompt; every second text leaves the town out, as live prompts do."""
    if config.captions == "names" or (config.captions == "auto" and reel.truth):
        return reel.prompt or config.prompt or AS_SIMULATED
    named = reel.prompt in (AS_SIMULATED, *WEATHERS)  # no text
    text = "" if named else reel.prompt or config.prompt
    weather = reel.prompt if reel.prompt in WEATHERS else reel.weather
    town = reel.town if number % 2 else ""
    return text or caption_of(weather, town=town, sun_deg=reel.sun_deg)


def source_frames(clip: Clip) -> int:
    """Return how many frames of its source a clip spans."""
    return (clip.frames - 1) * clip.stride + 1


def _unreadable(reel: Reel) -> list[LeftOut]:
    places: dict[str, list[int]] = {}
    for index, why in reel.unreadable.items():
        places.setdefault(why, []).append(index)
    return [
        LeftOut(source=str(reel.path), first=found[0], frames=len(found), reason=why)
        for why, found in places.items()
    ]


def _runs(reel: Reel) -> Iterator[tuple[int, int, str]]:
    """Yield first, stop, and what ends it ("" for the end), of all frames without a break."""
    first = 0
    for index in range(len(reel)):
        why = reel.unreadable.get(index) or reel.breaks.get(index)
        if why:
            if index > first:
                yield first, index, why
            first = index + (index in reel.unreadable)
    if first < len(reel):
        yield first, len(reel), ""


def _spread(drafts: list[Clip], most: int) -> list[Clip]:
    """Return at most so many clips, spread evenly."""
    if not most or len(drafts) <= most:
        return drafts
    return [drafts[index * len(drafts) // most] for index in range(most)]


def _stride(fps: float, wanted: float) -> int:
    """Return the n for which every n-th frame comes nearest to a frame rate, by ratio."""
    below = max(1, math.floor(fps / wanted))
    return min((below, below + 1), key=lambda n: abs(math.log(fps / n / wanted)))


def _slug(name: str) -> str:
    """Return a name that is safe in files and shards."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "clip"
