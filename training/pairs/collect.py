"""Removes what nothing refers to: objects without a row, abandoned leases, unfinished files.

Only files with names that this package gives are looked at.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import PairError
from realmaster_live.jobs.leases import LEASES, is_stale, now
from realmaster_live.jobs.work import DONE
from realmaster_live.system.atomic_files import PART
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import rows
from realmaster_live.training.pairs.stages import PER_CLIP
from realmaster_live.training.pairs.store import OBJECTS

KEY = re.compile(r"\b[0-9a-f]{64}\b")
# .NAME.TOKEN.part.SUFFIX; leases of earlier versions were .TOKEN.part
UNFINISHED = re.compile(rf"\.((.+)\.[0-9a-f]{{12}}|[0-9a-f]{{32}}){re.escape(PART)}(\.\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """Files that may go: objects, leases, and unfinished files; and their bytes in all."""

    objects: tuple[Path, ...]
    leases: tuple[Path, ...]
    parts: tuple[Path, ...]
    bytes: int

    def remove(self) -> None:
        """Delete them."""
        for path in (*self.objects, *self.leases, *self.parts):
            path.unlink(missing_ok=True)


def find_garbage(chain: Chain, *, superseded: bool = False) -> Garbage:
    """Return what may go.

    What a worker may be making stays: all of a key with a living lease, and files that are younger
    than a lease can grow in silence.

    Args:
        chain: the dataset and its recipe.
        superseded: also the objects of former recipes and of clips that are planned no more.
    """
    dataset, expiry_s = chain.dataset, chain.recipe.run.lease_s
    held = list((dataset / LEASES).glob("*.json"))
    stale = [path for path in held if is_stale(path, expiry_s)]
    abandoned = {path.stem for path in stale}
    living = {path.stem for path in held} - abandoned
    time = now(dataset)

    def is_abandoned(path: Path, key: str) -> bool:
        try:
            return key in abandoned or time - path.lstat().st_mtime > expiry_s
        except FileNotFoundError:
            return False

    known, wanted = _referred_to(chain, superseded=superseded)
    objects = [
        path
        for path in (dataset / OBJECTS).glob("*/*")
        if KEY.fullmatch(path.stem)
        and path.stem not in wanted | living
        and is_abandoned(path, path.stem)
    ]
    if objects and not known:
        raise PairError(
            f"expected rows in {dataset / 'manifest'} beside {len(objects)} objects, got none: put "
            "the manifest back from a copy; nothing was removed"
        )
    parts = []
    for path in dataset.rglob(f".*{PART}*"):
        found = UNFINISHED.fullmatch(path.name)
        if found and path.is_file() and found[2] not in living and is_abandoned(path, found[2]):
            parts.append(path)
    return Garbage(
        objects=tuple(objects),
        leases=tuple(stale),
        parts=tuple(parts),
        bytes=sum(path.lstat().st_size for path in (*objects, *parts)),
    )


def _referred_to(chain: Chain, *, superseded: bool) -> tuple[set[str], set[str]]:
    """Return the keys of all finished rows, and of those to keep every key that they refer to."""
    current: set[str] | None = None
    if superseded:
        names = (*PER_CLIP, *chain.recipe.own)
        current = {chain.key(name, clip) for name in names for clip in chain.clips}
    known, wanted = set(), set()
    for folder in (chain.dataset / "manifest").glob("stage=*"):
        for row in rows(chain.dataset, folder.name.removeprefix("stage=")):
            if row.status == DONE:
                known.add(row.key)
            if row.status == DONE and (current is None or row.key in current):
                mentioned = json.dumps([dict(row.inputs), dict(row.facts)])
                wanted |= {row.key, *KEY.findall(mentioned)}
    return known, wanted
