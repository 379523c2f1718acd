"""How far a stream's file can be read: to be opened at all and to hold nothing are two things."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Readable:
    """What reading a file from its beginning found.

    Attributes:
        pictures: that can be read in a row. opened: False where the file is missing, is no regular
            file, or cannot be opened, so that nothing is known of what it holds.
        problem: why reading ended before the file's end, one clause; "" where nothing is wrong.
    """

    pictures: int
    opened: bool = True
    problem: str = ""


EMPTY = Readable(pictures=0)  # a file of no bytes: nothing had reached the disk


def unopened(error: Exception) -> Readable:
    """Return what is known of a file that cannot be opened."""
    return Readable(pictures=0, opened=False, problem=str(error))
