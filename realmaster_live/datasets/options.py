"""How an export splits its recordings and which labels it keeps.

The command line reads its flags and their help off these classes.
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
    """Splits, of whole recordings.

    Attributes:
        by: What is kept together in one split: a town, a route, a weather, or a seed of a town.
        shares: Shares of the groups that train, validate and test, such as 0.8,0.1,0.1.
        train: Groups to train on whatever the shares, such as Town03,Town05.
        val: Groups to validate on whatever the shares.
        test: Groups to test on whatever the shares.
        salt: Another text gives another distribution.
    """

    by: By = "town"
    shares: tuple[float, ...] = (1.0,)
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    salt: str = ""

    def __post_init__(self) -> None:
        """Refuse shares that are not a whole, and groups that are asked for twice."""
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
                f"expected each {self.by} on one side, got {', '.join(twice)} on more: keep one"
            )

    @property
    def named(self) -> Mapping[str, Split]:
        """Group -> split of those that are named."""
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return {town_group(group): split for split in SPLITS for group in lists[split]}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Labels that are kept; the others are marked to be ignored.

    An ignored label is one that a detector is neither trained nor judged on: a crowd in COCO, a
    DontCare in KITTI, a group in Cityscapes, left out in YOLO.

    Attributes:
        min_trust: Trust in an object of the realized picture, from 0 to 1.
        min_frame_trust: Trust in a whole picture; pictures below it are left out, as quarantined
            ones are.
        min_pixels: Pixels of an object that are seen. Objects without any are dropped.
        max_occlusion: Share of an object that others hide.
        max_truncation: Share of an object that is outside the picture.
        max_distance_m: Distance of an object, in metres. Without it, any.
        unlisted: What becomes of masks of objects that the simulator does not list.
        own_vehicle_m: A vehicle's mask that is not listed and nearer than this, in metres, is of
            the vehicle that carries the camera, and dropped.
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
        """Refuse shares outside 0 to 1, and less than no pixels."""
        for name in ("min_trust", "min_frame_trust", "max_occlusion", "max_truncation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"expected {name} from 0 to 1, got {value}: give a share")
        if self.min_pixels < 0:
            raise ConfigError(f"expected min_pixels of 0 or more, got {self.min_pixels}: raise it")

    def in_words(self) -> tuple[str, ...]:
        """Return the rule as sentences, for a dataset's README."""
        return (
            "Rendered and realized variants have the same frames and labels: trust, which is "
            "measured on the realized picture, counts for both.",
            f"Left out: pictures that the gate quarantined or whose trust is below "
            f"{self.min_frame_trust:g}.",
            "Dropped: things without a visible pixel; masks of the vehicle that carries the "
            f"camera (a vehicle without an actor nearer than {self.own_vehicle_m:g} m).",
            f"Ignored: things of trust below {self.min_trust:g}; with fewer than "
            f"{self.min_pixels} pixels; hidden by more than {self.max_occlusion:.0%}; cut off by "
            f"more than {self.max_truncation:.0%}; farther than {self.max_distance_m:g} m.",
            f"Masks whose thing the simulator did not list: {self.unlisted}.",
        )


def town_group(group: str) -> str:
    """Return a group by the name that CARLA's layered and plain map of a town share."""
    return re.sub(r"_Opt(?=/|$)", "", group)
