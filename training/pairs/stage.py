"""The interface of a stage of pair generation: it makes one file of a clip and of earlier files.

A file is named by its key, the hash of everything that decides its content. A stage that runs again
finds its files, and one whose parameters changed makes new ones beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from realmaster_live.errors import PairError
from realmaster_live.system.inside import PLAIN

RANGES = {  # of the numbers of a clip
    "first": (0, 2**40),
    "frames": (1, 100_000),
    "fps": (1e-3, 10_000),
    "stride": (1, 1_000_000),
    "width": (1, 32_768),
    "height": (1, 32_768),
}
Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
"""Parameters and facts of a stage: anything that JSON holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a source says of its frames.

    Attributes:
        town: map name. route: one drive within it. weather: in words. seed: of the town or None.
        prompt: caption or prompt of the photoreal clip that is wanted.
        licence: of the source.
        labels: label streams that the source has, such as depth and instance.
        truth: whether the source holds the photoreal clip itself (a second renderer made it).
    """

    town: str = ""
    route: str = ""
    weather: str = ""
    seed: int | None = None
    prompt: str = ""
    licence: str = ""
    labels: tuple[str, ...] = ()
    truth: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Origin):
    """A row of manifest/clips.parquet: consecutive frames of one camera.

    Attributes:
        clip_id: unique in the dataset, safe as a file name.
        source: absolute path of the recording, folder or file that holds the frames.
        kind: how `sources` reads it: "recording", "pairs", "video", "images", or a
            game's layout, such as "presil".
        first: index of the first frame within the source.
        frames: how many, 4 k + 1.
        fps: frames a second, as the model sees them.
        stride: source frames from one frame to the next.
        width: of the frames as stages see them, pixels, a multiple of 16.
        height: of the frames as stages see them, pixels, a multiple of 16.
        sha256: of the frames' bytes, (T, H, W, 3) uint8 RGB, then of the truth's if there is one.
    """

    clip_id: str
    source: str
    kind: str
    first: int
    frames: int
    fps: float
    stride: int = 1
    width: int
    height: int
    sha256: str

    def __post_init__(self) -> None:
        """Raise ValueError where a value, which may come from a file, cannot be a clip's."""
        if not PLAIN.fullmatch(self.clip_id):
            raise ValueError(f"the clip_id {self.clip_id!r}, which is no plain name")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} of {value} for {self.clip_id}, not {least} to {most}")


def captioned(clip: Clip) -> str:
    """Return a clip's caption, the same for VACE and for the text encoder.

    Raises:
        PairError: it was planned by a version that left captions empty.
    """
    if not clip.prompt:
        raise PairError(
            f"expected a caption of {clip.clip_id}, got none: plan its source again, which makes "
            "captions of the weather, the time of day and the town"
        )
    return clip.prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """What decides a stage's keys, and how its files are called.

    Attributes:
        name: the verb that runs it.
        version: increased when the code makes other files of the same parameters.
        suffix: of its files, with the dot.
        after: stages whose files it reads.
        parameters: everything else that decides the content, ready for JSON.
        model: id of the network that it runs, if any. model_sha256: of its weights or "".
        licence: of the network.
    """

    name: str
    version: int
    suffix: str
    after: tuple[str, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict)
    model: str = ""
    model_sha256: str = ""
    licence: str = ""

    @property
    def parameters_hash(self) -> str:
        """Return the sha256 of parameters and model."""
        parts = [dict(self.parameters), self.model, self.model_sha256]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def key(self, clip: Clip, inputs: Mapping[str, str]) -> str:
        """Return the sha256 that names the file of a clip; `inputs` are the keys of `after`."""
        names = [
            self.name, self.version, self.parameters_hash, clip.sha256, clip.prompt,
            sorted(inputs.items()),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to make.

    Attributes:
        clip: of which clip.
        inputs: stage name -> the file that it made of this clip, for every stage in `after`.
        attempt: failed attempts before this one.
    """

    clip: Clip
    inputs: Mapping[str, Path]
    attempt: int = 0


class Stage(Protocol):
    """Makes one file a clip; holds its networks between clips."""

    @property
    def spec(self) -> StageSpec:
        """Return what decides the keys; it must not load a network."""

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Write the file at `target` and return facts for the manifest.

        `target` has the stage's suffix and is moved to its place by the caller. What goes wrong
        with this clip is a PairError, or any other exception, which is recorded with its traceback;
        ConfigError and MissingDependency end the whole run.
        """
