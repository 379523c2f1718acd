"""Finds the clips for an evaluation, in folders of pairs and in packed shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from realmaster_live.errors import PairError
from realmaster_live.training.data import HELD_OUT_FROM, Clip, Split, clip_files, read_clip
from realmaster_live.training.pack import unpack

TRAINED_LOOK = "A"


def look_of(clip: Clip) -> str:
    """Return the look of the game that a clip was rendered in."""
    return str(clip.facts.get("look", TRAINED_LOOK))


@contextmanager
def unpacked(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield folders for folders and .tar shards; unpacked files are removed at the end."""
    with TemporaryDirectory() as temporary:
        folders = []
        for number, path in enumerate(paths):
            if path.is_file():
                folders.append(Path(temporary) / str(number))
                unpack(path, folders[-1])
            else:
                folders.append(path)
        yield folders


def gather(folders: Sequence[Path], split: Split) -> list[Clip]:
    """Return the clips of several folders; of duplicates by name and look, the first is taken.

    Raises PairError if there is none.
    """
    found: dict[tuple[str, str], Clip] = {}
    for path in (path for folder in folders for path in clip_files(folder)):
        clip = read_clip(path)
        if clip.split == split:
            found.setdefault((clip.name, look_of(clip)), clip)
    if not found:
        raise PairError(
            f"expected clips for {split} in {', '.join(map(str, folders))}, got none: make pairs "
            f"(seeds from {HELD_OUT_FROM} are held out)"
        )
    return list(found.values())
