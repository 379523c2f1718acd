"""How an export splits its recordings and which labels it keeps.

The command line takes its flags and their help from these classes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from realmaster_live.errors import ConfigError

Fate = Literal["keep", "ignore", "drop"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
By = Literal["town", "route", "weather", "seed"]


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How whole recordings are split.

    Attributes:
        by: Keep all recordings of a town, a route, a weather or a town's seed in one split.
        shares: Shares of the groups to train, validate and test on, such as 0.8,0.1,0.1.
        train: Groups that are always trained on, such as Town03,Town05.
        val: Groups that are always validated on.
        test: Groups that are always tested on.
        salt: Any text; another one gives another random distribution.
    """

    by: By = "town"
    shares: tuple[float, ...] = (1.0,)
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    salt: str = ""

    def __post_init__(self) -> None:
        """Refuse shares that do not add up to 1, and groups that are named twice."""
        shares = self.shares
        if not 1 <= len(shares) <= len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(
                f"expected one to three shares that add up to 1, got {str(shares)[1:-1]}: "
                "write them as 0.8,0.1,0.1"
            )
        counts = Counter(map(town_group, (*self.train, *self.val, *self.test)))
        twice = [group for group, count in counts.items() if count > 1]
        if twice:
            raise ConfigError(
                f"expected each {self.by} in one split, got {', '.join(twice)} in several: keep one"
            )

    @property
    def named(self) -> Mapping[str, Split]:
        """Group -> split, for the groups that are named."""
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return {town_group(group): split for split in SPLITS for group in lists[split]}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which labels are kept; the others are marked as ignored.

    A detector is neither trained nor tested on ignored labels: they are crowds in COCO, DontCare in
    KITTI, groups in Cityscapes, and left out in YOLO.

    Attributes:
        min_trust: Least trust in an object of the realized picture, from 0 to 1.
        min_frame_trust: Least trust in a whole picture, from 0 to 1; other pictures are left out,
            and so are quarantined ones.
        min_pixels: Least number of visible pixels of an object. Objects without any are dropped.
        max_occlusion: Largest share of an object that others may hide.
        max_truncation: Largest share of an object that may be outside the picture.
        max_distance_m: Largest distance of an object in metres. Without it, any.
        unlisted: Keep, ignore or drop masks of objects that the simulator does not list.
        own_vehicle_m: Drop the mask of an unlisted vehicle that is nearer than this, in metres: it
            carries the camera.
    """

    min_trust: float = 0.5
    min_frame_trust: float = 0.0
    min_pixels: int = 20
    max_occlusion: float = 0.9
    max_truncation: float = 0.9
    max_distance_m: float = math.inf
    unlisted: Fate = "keep"
    own_vehicle_m: float = 3.0

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, and a negative number of pixels."""
        for name in ("min_trust", "min_frame_trust", "max_occlusion", "max_truncation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"expected {name} ({flag}) from 0 to 1, got {value}: give a share"
                )
        if self.min_pixels < 0:
            raise ConfigError(
                f"expected min_pixels (--min-pixels) of 0 or more, got {self.min_pixels}: raise it"
            )

    def in_words(self) -> tuple[str, ...]:
        """Return the rule as sentences, for a dataset's README."""
        return (
            "Rendered and realized variants have the same frames and labels: trust is measured on "
            "the realized picture and applies to both.",
            f"Left out: pictures that the gate quarantined or whose trust is below "
            f"{self.min_frame_trust:g}.",
            "Dropped: objects without a visible pixel; masks of the vehicle that carries the "
            f"camera (an unlisted vehicle nearer than {self.own_vehicle_m:g} m).",
            f"Ignored: objects with trust below {self.min_trust:g}; with fewer than "
            f"{self.min_pixels} pixels; hidden by more than {self.max_occlusion:.0%}; cut off by "
            f"more than {self.max_truncation:.0%}; farther than {self.max_distance_m:g} m.",
            f"Masks of objects that the simulator did not list: {self.unlisted}.",
        )


def town_group(group: str) -> str:
    """Return a group's name without `_Opt`, which marks CARLA's layered map of the same town."""
    return re.sub(r"_Opt(?=/|$)", "", group)
