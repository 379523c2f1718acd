"""A map-style data set of torch over recordings, without exporting them first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.utils.data

from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.frame_facts import CARLA
from realmaster_live.datasets.frame_items import FrameItems, Item
from realmaster_live.datasets.frame_query import SHARES, FrameQuery, Recordings
from realmaster_live.datasets.options import By, Rules, Split, SplitRule
from realmaster_live.datasets.selection import Variant
from realmaster_live.datasets.torch.tensors import tensors_of


class FrameDataset(torch.utils.data.Dataset[Any]):
    """The frames of recordings, or windows of consecutive ones, at random.

    May be forked, spawned and used in threads: each worker opens its own files.

    Args:
        recordings: a folder, several, or a pattern such as "drives/*".
        pictures: "sim", "real", or "paired" for both.
        labels: out of "depth", "semantic", "instance", "flow", "boxes_2d" and "boxes_3d".
        cameras: their names; all of each recording by default.
        every: takes every n-th frame of a camera.
        window: consecutive frames in one item; such an item has them in front of all other
            dimensions. One that spans missing frames, another weather or town is left out.
        stride: frames from one window's first to the next one's.
        split: takes the recordings of "train", "val" or "test"; all by default.
        split_by: "town", "route", "weather" or "seed", or a SplitRule, as exports take it.
        shares: of the groups to train, validate and test on, where split_by is no SplitRule.
        rules: which frames and boxes are kept, as exports take it.
        categories: of the boxes; CARLA's classes by default.
        transform: called with each item; what it returns takes its place.
        verify: compare each file with its hash when a worker opens it (a second for a gigabyte);
            `realmaster dataset verify` does so once.

    Raises:
        RecordingError: a recording cannot be read.
        ConfigError: the recordings do not have what is asked for.
    """

    def __init__(
        self,
        recordings: Recordings,
        *,
        pictures: Variant = "real",
        labels: Sequence[str] = (),
        cameras: Sequence[str] = (),
        every: int = 1,
        window: int = 1,
        stride: int = 1,
        split: Split | None = None,
        split_by: By | SplitRule = "town",
        shares: Sequence[float] = SHARES,
        rules: Rules | None = None,
        categories: Categories = CARLA,
        transform: Callable[[Item], Any] | None = None,
        verify: bool = False,
    ) -> None:
        self.transform = transform
        self._items = FrameItems(
            FrameQuery.of(
                recordings,
                pictures=pictures,
                labels=labels,
                cameras=cameras,
                every=every,
                window=window,
                stride=stride,
                split=split,
                split_by=split_by,
                shares=shares,
                rules=rules,
                categories=categories,
                verify=verify,
            )
        )

    @property
    def categories(self) -> Categories:
        """The categories of the boxes: `categories.ids` has the number of each name."""
        return self._items.query.categories

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        """Return an item; negative indices count from the end.

        Raises:
            IndexError: there are fewer items.
            RecordingError: a file is missing or damaged.
        """
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"expected an index below {count}, got {index}")
        frames = self._items.frames(index % count)
        item = tensors_of(frames, windowed=self._items.query.window > 1)
        return item if self.transform is None else self.transform(item)

    def __repr__(self) -> str:
        """Show how many items of how many recordings there are, and what they hold."""
        query = self._items.query
        of_split = "" if query.split is None else f" of the split {query.split}"
        frames = "frames" if query.window == 1 else f"windows of {query.window} frames"
        held = ", ".join(filter(None, [f"{query.pictures} pictures", *query.labels]))
        return (
            f"FrameDataset({len(self)} {frames} in {len(self._items.drives)} recordings{of_split}: "
            f"{held})"
        )
