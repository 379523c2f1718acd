"""Summaries of what an export wrote and left out, with the reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from realmaster_live.datasets.options import SPLITS, Split
from realmaster_live.errors import RecordingError


@dataclass(frozen=True, kw_only=True)
class DriveSummary:
    """What was written of one recording, and what was not.

    Attributes:
        split: the recording's split.
        frames: number of written pictures, or of pairs in a `paired` export.
        labels: category -> number of kept labels.
        ignored, dropped: reason -> number of labels. left_out: reason -> number of pictures.
        damaged: unreadable segment -> reason.
        licences: licence of the recording, and of the engine if its pictures were exported.
        fingerprint: hash of the recording's content. stems: the beginnings of its file names.
        lenses: camera -> description of its lens, for cameras that are not pinholes.
    """

    split: Split
    licences: tuple[str, ...] = ()
    frames: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    stems: tuple[str, ...] = ()
    lenses: Mapping[str, str] = field(default_factory=dict)


class Tally:
    """Counts while one recording is exported.

    Attributes:
        frames, labels, ignored, dropped, left_out: as in DriveSummary.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.labels: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def summary(
        self,
        *,
        split: Split,
        damaged: Mapping[str, str],
        licences: tuple[str, ...],
        fingerprint: str,
        stems: tuple[str, ...],
        lenses: Mapping[str, str],
    ) -> DriveSummary:
        """Return the counts with the recording's other facts."""
        return DriveSummary(
            split=split,
            licences=licences,
            fingerprint=fingerprint,
            stems=stems,
            lenses=dict(lenses),
            frames=self.frames,
            labels=dict(self.labels),
            ignored=dict(self.ignored),
            dropped=dict(self.dropped),
            left_out=dict(self.left_out),
            damaged=dict(damaged),
        )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The result of an export.

    Attributes:
        export: name of the format. variant: the exported pictures. out: the export's folder.
        drives: recording -> summary, including those that an earlier run exported.
        skipped: recordings that an earlier run had finished.
        rule: the rules for labels, in sentences.
        seconds: duration of this run.
    """

    export: str
    variant: str
    out: Path
    drives: Mapping[str, DriveSummary]
    skipped: tuple[str, ...]
    rule: tuple[str, ...]
    seconds: float

    @property
    def frames(self) -> int:
        """Number of pictures of all recordings."""
        return sum(drive.frames for drive in self.drives.values())

    def total(self, name: str) -> Counter[str]:
        """Return the counts of "labels", "ignored", "dropped" or "left_out" of all recordings."""
        counts: Counter[str] = Counter()
        for drive in self.drives.values():
            counts.update(getattr(drive, name))
        return counts

    def lines(self) -> Iterator[str]:
        """Yield the summary as lines of text."""
        splits = [
            f"{split} {sum(drive.frames for drive in drives)} ({len(drives)} recordings)"
            for split in SPLITS
            if (drives := [one for one in self.drives.values() if one.split == split])
        ]
        yield f"{self.frames} frames as {self.export}, {self.variant}: {', '.join(splits)}"
        for name, title in (
            ("labels", "labels"),
            ("ignored", "labels ignored"),
            ("dropped", "labels dropped"),
            ("left_out", "frames left out"),
        ):
            counts = self.total(name)
            if counts:
                listed = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
                yield f"{title}: {counts.total()} ({listed})"
        for name, drive in self.drives.items():
            for segment, why in drive.damaged.items():
                yield f"damaged and left out: segment {segment} of {name}: {why}"
        for name, drive in self.drives.items():
            for camera, lens in drive.lenses.items():
                yield (
                    f"lens: camera {camera} of {name} is not a pinhole ({lens}): its pictures and "
                    "masks are distorted, while K and the 3D boxes are those of a pinhole"
                )
        licences = {one for drive in self.drives.values() for one in drive.licences}
        if licences:
            yield f"licences: {', '.join(sorted(licences))}"
        if self.skipped:
            yield f"kept from an earlier run: {', '.join(self.skipped)}"

    def check(self) -> None:
        """Refuse an export without any frame.

        Raises:
            RecordingError: no frame was written.
        """
        if not self.frames:
            raise RecordingError(
                f"expected frames for {self.out}, got none: {'; '.join(self.lines())}; relax the "
                "rules or record again"
            )
