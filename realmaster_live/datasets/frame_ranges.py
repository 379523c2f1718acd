"""Which frames of which recordings an export takes: ranges of the simulator's frame numbers.

[frames]                       # recording = its frames, both ends included
"drives/1" = ["120-180", "300"]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, reason
from realmaster_live.system.texts import read_toml

Range = tuple[int, int]  # first and last frame number
RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


@dataclass(frozen=True, kw_only=True)
class FrameRanges:
    """The chosen frames of some recordings.

    Attributes:
        of: absolute folder of a recording -> its ranges, ascending, without overlap.
    """

    of: Mapping[Path, tuple[Range, ...]]

    @classmethod
    def read(cls, path: Path) -> FrameRanges:
        """Return what a file says; its recordings are relative to the working directory.

        Raises:
            ConfigError: it cannot be read, or says something else.
        """
        try:
            tables = read_toml(path)
            frames = tables["frames"]
            if len(tables) > 1 or not isinstance(frames, dict) or not frames:
                raise ValueError("other tables")
            found = {Path(name).resolve(): _ranges(texts) for name, texts in frames.items()}
        except (OSError, ValueError, KeyError) as error:
            got = "no such table" if isinstance(error, KeyError) else reason(error)
            raise ConfigError(
                f"expected a table [frames] of recordings and their frames in {path}, got {got}: "
                'write "drives/1" = ["120-180", "300"] below it'
            ) from error
        return cls(of=found)

    def check(self, recordings: Sequence[Path]) -> None:
        """Raise ConfigError where these are not the recordings whose frames are chosen."""
        given = {folder.resolve() for folder in recordings}
        without, others = given - self.of.keys(), self.of.keys() - given
        if without or others:
            wrong = ", ".join(str(folder) for folder in sorted(without or others))
            raise ConfigError(
                "expected the file of --frames to name the recordings to export, got "
                + (f"none of {wrong} in it" if without else f"{wrong} in it alone")
                + ": name the same in both"
            )

    def check_numbers(self, folder: Path, numbers: NDArray[np.int64]) -> None:
        """Raise ConfigError where none of a range's frames is among those of a recording (N,)."""
        empty = [
            f"{first}-{last}" if last > first else f"{first}"
            for first, last in self.of[folder.resolve()]
            if not ((numbers >= first) & (numbers <= last)).any()
        ]
        if empty:
            recorded = f"{numbers.min()} to {numbers.max()}" if len(numbers) else "no frame"
            raise ConfigError(
                f"expected frames of {folder} in the file of --frames, got {', '.join(empty)}, "
                f"where it has {recorded}: write the simulator's numbers, which `dataset view` "
                "shows and lists"
            )

    def facts(self) -> dict[str, list[Range]]:
        """Return JSON values that differ where the chosen frames do."""
        return {str(folder): list(ranges) for folder, ranges in sorted(self.of.items())}


def _ranges(texts: object) -> tuple[Range, ...]:
    """Return ranges in order; ValueError for what is none, or for ranges that overlap."""
    if not isinstance(texts, list) or not texts:
        raise ValueError(f"{texts!r:.80} where a list of frames should be")
    found = []
    for text in texts:
        match = RANGE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{text!r:.80} where frames should be")
        first = int(match[1])
        found.append((first, int(match[2]) if match[2] else first))
    found.sort()
    for (first, last), (following, _) in zip(found, [*found[1:], (1 << 63, 0)], strict=True):
        if last < first or last >= following:
            raise ValueError(f"the frames {first}-{last}, which are empty or named twice")
    return tuple(found)
