"""Unique file names for an export."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence

LONGEST_BYTES = 120  # of a name, so that a suffix, a camera and a number still fit into 255 bytes
HASH_DIGITS = 8
PORTS = (f"{kind}{number}" for kind in ("com", "lpt") for number in range(1, 10))
DEVICES = {"con", "prn", "aux", "nul", *PORTS}
"""What Windows takes for a device, with any suffix behind it."""


def unique_names(sources: Sequence[tuple[str, ...]], separator: str) -> list[str]:
    """Return a unique file name for each source, made of its parts.

    Letters and digits of any script, "-" and "_" are kept. Everything else becomes "-", because it
    has a meaning in file systems, loaders or WebDataset's keys, which end at the first dot. A hash
    of the parts is appended to names that are then equal, ignoring case, to names that are too
    long, and to those that Windows takes for devices. So a name depends on the sources alone, not
    on their order.
    """
    names = [separator.join(map(_clean, parts)) for parts in sources]
    counts = Counter(map(alike, names))
    return [
        name
        if counts[alike(name)] == 1
        and len(name.encode()) <= LONGEST_BYTES
        and name.lower() not in DEVICES
        else _hashed(name, parts)
        for name, parts in zip(names, sources, strict=True)
    ]


def alike(name: str) -> str:
    """Return what two names share that are one on some disk: case and composition do not count."""
    if name.isascii():
        return name.lower()
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.casefold())


def _clean(part: str) -> str:
    text = unicodedata.normalize("NFC", part)
    return "".join(char if char.isalnum() or char in "-_" else "-" for char in text) or "-"


def _hashed(name: str, parts: tuple[str, ...]) -> str:
    whole = "\0".join(parts).encode(errors="surrogateescape")
    digest = hashlib.sha256(whole).hexdigest()[:HASH_DIGITS]
    start = name.encode()[: LONGEST_BYTES - HASH_DIGITS - 1].decode(errors="ignore")
    return f"{start}-{digest}"
