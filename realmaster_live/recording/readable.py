"""How far a stream's file can be read; a file that cannot be opened is not an empty one."""

from __future__ import annotations

from dataclasses import dataclass

from realmaster_live.errors import reason


@dataclass(frozen=True, kw_only=True)
class Readable:
    """What reading a file from its beginning found.

    Attributes:
        pictures: readable from the first on. opened: False if the file is missing, not a regular
            file, or cannot be opened, so that its content is unknown.
        problem: why reading ended before the file's end, one clause; "" if nothing is wrong.
    """

    pictures: int
    opened: bool = True
    problem: str = ""


EMPTY = Readable(pictures=0)  # an empty file: nothing had reached the disk


def unopened(error: Exception) -> Readable:
    """Return the result for a file that cannot be opened."""
    return Readable(pictures=0, opened=False, problem=reason(error))
