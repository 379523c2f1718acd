"""The map of categories of an export, checked against all classes that its recordings hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.datasets.selection import Drive
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.classes import CLASS_NAMES, class_name

NO_CATEGORY = "none"


def categories_for(
    drives: Sequence[Drive],
    options: ExportOptions,
    own: Categories,
    needs: Collection[str] = (),
    *,
    known: Collection[str] | None = None,
) -> Categories:
    """Return the categories of an export: the user's map or the format's `own`.

    Args:
        drives: the recordings to export.
        options: the user's map, and the category of what no map names.
        own: the map of the format.
        needs: the label streams that the format reads; with "semantic", every pixel needs a class.
        known: the categories that a format with a fixed list has.

    Raises:
        RecordingError: classes that were recorded are not in the map; the message names them all.
        ConfigError: the format does not know the category for the rest.
    """
    categories = options.categories or own
    if options.unmapped is not None:
        return _with_rest(categories, options.unmapped, known)
    lacking = _met(drives, categories, pixels="semantic" in needs)
    if lacking:
        listed = ", ".join(
            f"{class_name(number)} ({', '.join(found)})" for number, found in lacking.items()
        )
        raise RecordingError(
            f"expected a category for each recorded class in the map {categories.name}, got "
            f"{len(lacking)} without one: {listed}: name them below [classes] of a file for "
            '--categories ("" leaves a class out, "*" stands for the rest), or give all of them '
            "one category with --unmapped"
        )
    return categories


def _with_rest(categories: Categories, rest: str, known: Collection[str] | None) -> Categories:
    """Return a map in which all other classes have the category `rest`."""
    category = "" if rest == NO_CATEGORY else rest
    if known is not None and category and category not in known:
        raise ConfigError(
            f"expected --unmapped with one of {', '.join(known)} or {NO_CATEGORY}, got {rest!r}: "
            "give one of them"
        )
    ids = dict(categories.ids)
    if category:
        ids.setdefault(category, max(ids.values(), default=-1) + 1)
    of_class = {**dict.fromkeys(range(256), category), **categories.of_class}
    return replace(categories, of_class=of_class, ids=ids)


def _met(drives: Sequence[Drive], categories: Categories, *, pixels: bool) -> dict[int, list[str]]:
    """Return class -> how many objects and pixels of it were recorded, where no map names it."""
    covered = categories.of_class.keys()
    counts: Counter[tuple[int, str]] = Counter()
    for drive in drives:
        for camera in drive.cameras:
            try:
                classes = drive.recording.table("objects", camera)["class_id"].to_numpy()
            except RecordingError:  # damaged segments are named when the others are exported
                continue
            for number, count in zip(*np.unique(classes, return_counts=True), strict=True):
                counts[int(number), "objects"] += int(count)
            # decoding all pixels takes a second for 2000 frames: only where a class may be missing
            if pixels and not covered >= set(range(len(CLASS_NAMES))):
                for sample in drive.recording.samples(
                    camera, streams=("semantic",), damaged="skip"
                ):
                    labels = np.asarray(sample.frame.labels["semantic"], np.uint8)
                    found = np.bincount(labels.ravel(), minlength=256)
                    for number in np.flatnonzero(found).tolist():
                        counts[number, "pixels"] += int(found[number])
    lacking: dict[int, list[str]] = {}
    for (number, unit), count in sorted(counts.items()):
        if number not in covered:
            lacking.setdefault(number, []).append(f"{count} {unit}")
    return lacking
