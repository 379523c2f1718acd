"""Removes what nothing refers to: objects without a row, abandoned leases, unfinished files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.jobs.leases import LEASES, is_stale, now
from realmaster_live.jobs.work import DONE
from realmaster_live.system.atomic_files import PART
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import rows
from realmaster_live.training.pairs.stages import PER_CLIP
from realmaster_live.training.pairs.store import OBJECTS

KEY = re.compile(r"\b[0-9a-f]{64}\b")


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
    kept = _referred_to(chain, superseded=superseded) | {path.stem for path in held} - abandoned
    time = now(dataset)

    def is_over(path: Path, key: str) -> bool:
        try:
            return key in abandoned or time - path.stat().st_mtime > expiry_s
        except FileNotFoundError:
            return False

    objects = [
        path
        for path in (dataset / OBJECTS).glob("*/*")
        if not path.name.startswith(".") and path.stem not in kept and is_over(path, path.stem)
    ]
    parts = []
    for path in dataset.rglob(f".*{PART}*"):  # an unfinished object is .KEY.TOKEN.part.SUFFIX
        key = path.name.split(".")[1]
        if key not in kept and is_over(path, key):
            parts.append(path)
    return Garbage(
        objects=tuple(objects),
        leases=tuple(stale),
        parts=tuple(parts),
        bytes=sum(path.stat().st_size for path in (*objects, *parts)),
    )


def _referred_to(chain: Chain, *, superseded: bool) -> set[str]:
    """Return the keys of all finished rows, and every key that such a row mentions."""
    wanted: set[str] | None = None
    if superseded:
        names = (*PER_CLIP, *chain.recipe.own)
        wanted = {chain.key(name, clip) for name in names for clip in chain.clips}
    found = set()
    for folder in (chain.dataset / "manifest").glob("stage=*"):
        for row in rows(chain.dataset, folder.name.removeprefix("stage=")):
            if row.status == DONE and (wanted is None or row.key in wanted):
                found |= {row.key, *KEY.findall(json.dumps([dict(row.inputs), dict(row.facts)]))}
    return found
