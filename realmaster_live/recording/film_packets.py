"""H.264 that a recording's films were made of, for sinks of the same run that need it too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realmaster_live.frames.picture_notes import PictureNotes

Packets = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmPackets:
    """The packets of a chunk's pictures in one film.

    Attributes:
        film: its file. first: number of the chunk's first picture in it.
        packets: one a picture, in Annex B; key frames, such as picture 0, have their parameter
            sets, and no packet needs a later one.
    """

    film: Path
    first: int
    packets: Packets

    def continues(self, before: FilmPackets | None) -> bool:
        """Return whether they can be decoded by who decoded `before` last, or nothing of it."""
        if self.first == 0:
            return True
        follows = None if before is None else (before.film, before.first + len(before.packets))
        return follows == (self.film, self.first)


class Films(PictureNotes[FilmPackets]):
    """The films' packets by the pictures that they show; `run.share(Films)` is the run's own.

    A recorder notes the packets of each chunk before its `write` returns.
    """
