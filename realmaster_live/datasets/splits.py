"""Which recordings train, validate and test: whole towns, routes, weathers or seeds, never frames.

Groups are sorted by a hash of their name and distributed by shares, so that the same recordings
always get the same splits, on any machine. A group that is named keeps its split. CARLA's maps with
and without `_Opt` show the same town and are one group.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from realmaster_live.errors import ConfigError
from realmaster_live.recording.about import About

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
By = Literal["town", "route", "weather", "seed"]


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How recordings are distributed.

    Attributes:
        by: what stays together: one town, one route of a town, one weather, or one seed of a town.
        shares: of the groups that train, validate and test; later ones may be left out.
        train, val, test: groups that have this split whatever the shares.
        salt: another text gives another distribution.
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
        counts = Counter(map(_same_town, (*self.train, *self.val, *self.test)))
        twice = [group for group, count in counts.items() if count > 1]
        if twice:
            raise ConfigError(
                f"expected each {self.by} on one side, got {', '.join(twice)} on more: keep one"
            )

    @property
    def named(self) -> Mapping[str, Split]:
        """Group -> split of those that are named."""
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return {_same_town(group): split for split in SPLITS for group in lists[split]}


def group_of(about: About, by: By) -> str:
    """Return the group that a recording belongs to; "" where meta.json does not say."""
    town = _same_town(about.town)
    if by == "seed":
        return "" if about.seed is None else f"{town}/{about.seed}"
    if by == "route":
        return about.route and f"{town}/{about.route}"
    return town if by == "town" else about.weather


def _same_town(group: str) -> str:
    """Return a group by the name that CARLA's layered and plain map of a town share."""
    return re.sub(r"_Opt(?=/|$)", "", group)


def assign_splits(abouts: Mapping[str, About], rule: SplitRule) -> dict[str, Split]:
    """Return recording -> split.

    Raises:
        ConfigError: a recording's group is not known, a named group has no recording, or a split
            with a share would be empty.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for recording, about in abouts.items():
        groups[group_of(about, rule.by)].append(recording)
    if rule.shares == (1.0,) and not rule.named:
        return dict.fromkeys(abouts, "train")
    if "" in groups:
        raise ConfigError(
            f"expected a {rule.by} in meta.json of every recording, got none in "
            f"{', '.join(groups[''])}: split by something else, or leave them out"
        )
    unknown = rule.named.keys() - groups.keys()
    if unknown:
        raise ConfigError(
            f"expected a {rule.by} among {', '.join(sorted(groups))}, got "
            f"{', '.join(sorted(unknown))}: name one that was recorded"
        )
    splits = _distribute(sorted(groups), rule)
    return {recording: splits[group] for group, names in groups.items() for recording in names}


def _distribute(groups: list[str], rule: SplitRule) -> dict[str, Split]:
    """Return group -> split: the named one, or one by its place in the order of hashes."""
    splits = dict(rule.named)
    wanted = {split: share for split, share in zip(SPLITS, rule.shares, strict=False) if share > 0}
    free = [group for group in groups if group not in splits]
    free.sort(key=lambda group: hashlib.sha256(f"{rule.salt}\0{group}".encode()).digest())
    given = len(rule.shares) > 1  # else what is not named trains, be it nothing
    empty = [split for split in wanted if given and split not in splits.values()]
    if len(free) < len(empty):
        raise ConfigError(
            f"expected a {rule.by} or more for each of {', '.join(wanted)}, got "
            f"{len(groups)} in all ({', '.join(groups)}): split by something else, give fewer "
            "shares, or record more"
        )
    counts = {split: int(split in empty) for split in wanted}
    for _ in range(len(free) - len(empty)):  # to the split that lacks most of its share
        held = Counter(splits.values())
        counts[
            max(wanted, key=lambda split: wanted[split] * len(groups) - counts[split] - held[split])
        ] += 1
    rest = iter(free)
    for split in reversed(wanted):
        for _ in range(counts[split]):
            splits[next(rest)] = split
    return splits
