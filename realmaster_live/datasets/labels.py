"""The pictures of a recording, with their labels as the rules keep, ignore or drop them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.options import Fate
from realmaster_live.datasets.rules import exclusion_reason, judge, trust_by_mask
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, Variant
from realmaster_live.datasets.summary import Tally
from realmaster_live.recording.sample import Sample

Item = TypeVar("Item")
COUNT = 8  # largest number of items that are made in advance


def prefetch(items: Generator[Item] | Iterator[Item], count: int = COUNT) -> Iterator[Item]:
    """Yield `items` in order; a thread of its own makes up to `count` of them in advance.

    `items` is closed with this iterator, in that thread.
    """
    waiting: deque[Future[Item | None]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="rm-prefetch")
    try:
        waiting.extend(pool.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
    finally:
        for future in waiting:
            future.cancel()
        if isinstance(items, Generator):
            pool.submit(items.close).result()
        pool.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """An annotation with its category, whether it is kept, and the reason if it is not."""

    annotation: Annotation
    category: str
    fate: Fate
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One frame of a data set.

    Attributes:
        drive, camera: the recording and camera that it comes from.
        sample: the frame as recorded.
        labels: the labels that have a category in the data set, including dropped ones.
    """

    drive: Drive
    camera: str
    sample: Sample
    labels: tuple[Label, ...]

    @property
    def kept(self) -> tuple[Label, ...]:
        """The labels to train and to test on."""
        return tuple(one for one in self.labels if one.fate == "keep")

    @property
    def ignored(self) -> tuple[Label, ...]:
        """The labels that a loss or a metric must ignore."""
        return tuple(one for one in self.labels if one.fate == "ignore")

    @property
    def stem(self) -> str:
        """A file name without suffix that is unique in the selection."""
        return f"{self.drive.stems[self.camera]}_{self.sample.frame.frame_id:08d}"

    def views(self, variant: Variant) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield "sim" or "real" with the picture (H, W, 3) uint8 sRGB; both for `paired`."""
        return views_of(self.sample, variant)


def views_of(sample: Sample, variant: Variant) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield "sim" or "real" with a frame's picture (H, W, 3) uint8 sRGB; both for `paired`."""
    for kind in PICTURES[variant]:
        picture = sample.frame.image if kind == "sim" else sample.real
        assert picture is not None
        yield kind, picture


def labelled(
    drive: Drive,
    camera: str,
    selection: Selection,
    categories: Categories,
    tally: Tally,
    streams: Collection[str] = (),
) -> Iterator[Picture]:
    """Yield the pictures of one camera that the rules keep, and count everything in `tally`.

    Args:
        drive: the recording.
        camera: name of one of its cameras.
        selection: what to export, with the rules.
        categories: categories of the data set.
        tally: counts of the recording.
        streams: labels to decode.

    Raises:
        RecordingError: a class is not covered by `categories`.
    """
    for sample in prefetch(drive.samples(camera, selection, streams)):
        left_out = exclusion_reason(sample, selection.rules)
        if left_out:
            tally.left_out[left_out] += 1
            continue
        tally.frames += 1
        labels = tuple(_labels(sample, selection, categories, tally))
        yield Picture(drive=drive, camera=camera, sample=sample, labels=labels)


def _labels(
    sample: Sample, selection: Selection, categories: Categories, tally: Tally
) -> Iterator[Label]:
    trust = trust_by_mask(sample.trust)
    for one in sample.annotations:
        category = categories.of(one.class_id)
        if not category:
            tally.dropped["no category for it"] += 1
            continue
        fate, reason = judge(one, trust, selection.rules)
        if fate == "keep":
            tally.labels[category] += 1
        elif fate == "ignore":
            tally.ignored[reason] += 1
        else:
            tally.dropped[reason] += 1
        yield Label(annotation=one, category=category, fate=fate, reason=reason)


def kept_frames(
    drive: Drive,
    camera: str,
    selection: Selection,
    tally: Tally,
    streams: Collection[str] = (),
) -> Iterator[Sample]:
    """Yield the frames of one camera that the rules keep, for formats without objects."""
    for sample in prefetch(drive.samples(camera, selection, streams)):
        left_out = exclusion_reason(sample, selection.rules)
        if left_out:
            tally.left_out[left_out] += 1
        else:
            tally.frames += 1
            yield sample
