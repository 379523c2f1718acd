"""The licences of recordings as COCO's formats list them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

UNKNOWN_LICENCE = "not stated in the recording"
Licences = tuple[str, ...]


def licence_rows(
    recordings: Iterable[Licences],
) -> tuple[list[dict[str, Any]], dict[Licences, int]]:
    """Return COCO's "licenses", and the number there of the licences of each recording."""
    numbers: dict[Licences, int] = {}
    for licences in recordings:
        numbers.setdefault(tuple(licences), len(numbers) + 1)
    rows = [
        {"id": number, "name": ", ".join(licences) or UNKNOWN_LICENCE, "url": ""}
        for licences, number in numbers.items()
    ]
    return rows, numbers
