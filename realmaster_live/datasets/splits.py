"""Assigns recordings to splits, by whole towns, routes, weathers or seeds and never by frames.

Groups are sorted by a hash of their names and distributed by shares, so that the same recordings
get the same splits on any machine. Groups that are named keep their split. CARLA's maps with and
without `_Opt` show the same town and are one group.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping

from realmaster_live.datasets.options import SPLITS, By, Split, SplitRule, town_group
from realmaster_live.errors import ConfigError
from realmaster_live.recording.about import About


def group_of(about: About, by: By) -> str:
    """Return the group of a recording, or "" if meta.json does not state it."""
    town = town_group(about.town)
    if by == "seed":
        return "" if about.seed is None else f"{town}/{about.seed}"
    if by == "route":
        return about.route and f"{town}/{about.route}"
    return town if by == "town" else about.weather


def assign_splits(abouts: Mapping[str, About], rule: SplitRule) -> dict[str, Split]:
    """Return recording -> split.

    Raises:
        ConfigError: a recording's group is unknown, a named group has no recording, or a split with
            a share would be empty.
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
    """Return group -> split: the one that names it, or one by its rank in the order of hashes."""
    splits = dict(rule.named)
    wanted = {split: share for split, share in zip(SPLITS, rule.shares, strict=False) if share > 0}
    free = [group for group in groups if group not in splits]
    free.sort(key=lambda group: hashlib.sha256(f"{rule.salt}\0{group}".encode()).digest())
    given = len(rule.shares) > 1  # otherwise all groups that are not named are trained on
    empty = [split for split in wanted if given and split not in splits.values()]
    if len(free) < len(empty):
        raise ConfigError(
            f"expected at least one {rule.by} for each of {', '.join(wanted)}, got "
            f"{len(groups)} in all ({', '.join(groups)}): split by something else, give fewer "
            "shares, or record more"
        )
    counts = {split: int(split in empty) for split in wanted}
    for _ in range(len(free) - len(empty)):  # to the split that is farthest below its share
        held = Counter(splits.values())
        counts[
            max(wanted, key=lambda split: wanted[split] * len(groups) - counts[split] - held[split])
        ] += 1
    rest = iter(free)
    for split in reversed(wanted):
        for _ in range(counts[split]):
            splits[next(rest)] = split
    return splits
