"""Which clips train, which validate and which are held out: whole towns, routes, weathers or seeds.

A group's split follows from its name alone, so it stays when clips are added. Near-duplicates of
one split in another are looked for by perceptual hashes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.optional import require
from realmaster_live.training.data import HELD_OUT_FROM, VALIDATION_FROM
from realmaster_live.training.pairs.manifest import read_clips, read_table, write_table
from realmaster_live.training.pairs.perceptual import near, phash
from realmaster_live.training.pairs.sources import read_frames
from realmaster_live.training.pairs.stage import Clip

pa = require("pyarrow", extra="training")

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SPLIT = pa.schema(
    [
        ("clip_id", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("phash", pa.list_(pa.uint64())),
    ]
)
THREADS = 4  # that decode at once
SHOWN = 10  # near-duplicates in a report


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Table [split].

    Attributes:
        by: what a group is: one town, one route of a town, one weather, or one seed. By seed, 900
            to 999 validate and those from 1000 on are held out, as for the embedded town.
        val_share: of the groups that validate. test_share: of those that are held out.
        val: groups that validate whatever their share. test: groups that are held out.
        train: groups that train.
        salt: other text gives another draw of the groups.
        duplicate_bits: of 64, in which a near-duplicate may differ at first, middle and last frame.
        duplicates: "report" them, "move" all groups that share any into one split, or "fail".
    """

    by: Literal["town", "route", "weather", "seed"] = "route"
    val_share: float = 0.1
    test_share: float = 0.1
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    salt: str = ""
    duplicate_bits: int = 6
    duplicates: Literal["report", "move", "fail"] = "report"

    def __post_init__(self) -> None:
        """Raise ConfigError for shares above 1 and for groups that are named twice."""
        shares = (self.val_share, self.test_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError(
                f"expected shares from 0 to 1 in all, got val_share {shares[0]} and test_share "
                f"{shares[1]}: lower one"
            )
        named = Counter((*self.train, *self.val, *self.test))
        twice = [name for name, count in named.items() if count > 1]
        if twice:
            raise ConfigError(
                f"expected each group in one of train, val and test, got {', '.join(twice)} more "
                "than once: keep one"
            )

    @property
    def listed(self) -> dict[str, Split]:
        """Return group -> split of the groups that are named."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {group: split for split in SPLITS for group in named[split]}


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Two clips of different splits that look the same."""

    first: str
    second: str
    splits: tuple[Split, Split]


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What `split` decided.

    Attributes:
        by: what a group is.
        clips: split -> number of clips. groups: split -> number of groups.
        duplicates: near-duplicates across splits, before any group was moved.
        moved: groups that were moved for them.
        unknown: groups that the recipe names and no clip has.
        shared_routes: routes of which more than one split has clips, as in another weather.
    """

    by: str
    clips: Mapping[Split, int]
    groups: Mapping[Split, int]
    duplicates: tuple[Duplicate, ...]
    moved: tuple[str, ...]
    unknown: tuple[str, ...]
    shared_routes: int

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        kinds = ", ".join(
            f"{name} {self.clips[name]} clips of {self.groups[name]}" for name in SPLITS
        )
        lines = [f"by {self.by}: {kinds}; none is in two splits"]
        lines += [
            f"no {self.by} is in {name}: add sources, raise its share, or name one in {name} = []"
            for name in SPLITS
            if not self.groups[name]
        ]
        lines += [
            f"no clip is of the {self.by} {name}, which [split] names" for name in self.unknown
        ]
        if self.shared_routes:
            lines.append(
                f"{self.shared_routes} routes are in more than one split: by = 'route' parts them"
            )
        lines += [
            f"{pair.first} ({pair.splits[0]}) looks like {pair.second} ({pair.splits[1]})"
            for pair in self.duplicates[:SHOWN]
        ]
        if len(self.duplicates) > SHOWN:
            lines.append(f"and {len(self.duplicates) - SHOWN} more near-duplicates across splits")
        if self.moved:
            lines.append(f"moved for near-duplicates: {', '.join(self.moved)}")
        elif self.duplicates:
            lines.append('duplicates = "move" in [split] puts such groups together')
        return lines


def split(dataset: Path, config: SplitConfig) -> SplitReport:
    """Give every clip its split and write manifest/split.parquet.

    Raises:
        PairError: clips have no such group, or near-duplicates were found and must not be.
    """
    clips = read_clips(dataset)
    groups = _groups(clips, config)
    splits = {group: split_of(group, config) for group in dict.fromkeys(groups)}
    path = dataset / "manifest" / "split.parquet"
    hashes = _hashes(clips, path)
    same = near(hashes, config.duplicate_bits)
    across = [(a, b) for a, b in same.tolist() if splits[groups[a]] != splits[groups[b]]]
    duplicates = tuple(
        Duplicate(
            first=clips[a].clip_id,
            second=clips[b].clip_id,
            splits=(splits[groups[a]], splits[groups[b]]),
        )
        for a, b in across
    )
    if duplicates and config.duplicates == "fail":
        one = duplicates[0]
        raise PairError(
            f"expected no near-duplicates across splits, got {len(duplicates)}, such as "
            f"{one.first} ({one.splits[0]}) and {one.second} ({one.splits[1]}): leave one of the "
            'sources out, or set duplicates = "move" in [split]'
        )
    moved: list[str] = []
    if config.duplicates == "move":
        together = _connected_groups([(groups[a], groups[b]) for a, b in across])
        for joined in together:
            target = _split_of_joined(joined, config)
            moved += [group for group in joined if splits[group] != target]
            splits |= dict.fromkeys(joined, target)
    rows = [
        {"clip_id": c.clip_id, "split": splits[g], "group": g, "phash": h.tolist()}
        for c, g, h in zip(clips, groups, hashes, strict=True)
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=SPLIT))
    of_routes: dict[tuple[str, str], set[Split]] = {}
    for clip, group in zip(clips, groups, strict=True):
        of_routes.setdefault((clip.town, clip.route), set()).add(splits[group])
    of_clips, of_groups = Counter(splits[group] for group in groups), Counter(splits.values())
    return SplitReport(
        by=config.by,
        clips={name: of_clips[name] for name in SPLITS},
        groups={name: of_groups[name] for name in SPLITS},
        duplicates=duplicates,
        moved=tuple(moved),
        unknown=tuple(name for name in config.listed if name not in splits),
        shared_routes=sum(len(found) > 1 for found in of_routes.values()),
    )


def read_split(dataset: Path) -> dict[str, Split]:
    """Return clip_id -> split of a dataset.

    Raises:
        PairError: it was not split yet.
    """
    path = dataset / "manifest" / "split.parquet"
    if not path.exists():
        raise PairError(f"expected {path}, got no such file: run realmaster pairs split {dataset}")
    remedy = f"run realmaster pairs split {dataset} again"
    splits = {
        row["clip_id"]: row["split"] for row in read_table(path, SPLIT, remedy=remedy).to_pylist()
    }
    other = set(splits.values()) - set(SPLITS)
    if other:
        raise PairError(f"expected train, val and test in {path}, got {other}: {remedy}")
    return splits


def split_of(group: str, config: SplitConfig) -> Split:
    """Return the split of a group, from its name alone."""
    if group in config.listed:
        return config.listed[group]
    if config.by == "seed":
        seed = int(group)
        return "test" if seed >= HELD_OUT_FROM else "val" if seed >= VALIDATION_FROM else "train"
    draw = _draw(group, config)
    if draw < config.test_share:
        return "test"
    return "val" if draw < config.test_share + config.val_share else "train"


def _draw(group: str, config: SplitConfig) -> float:
    """Return a number in [0, 1) that follows from a name."""
    digest = hashlib.sha256(f"{config.salt}\n{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _groups(clips: Sequence[Clip], config: SplitConfig) -> list[str]:
    """Return the group of every clip."""
    names = {
        "town": [clip.town for clip in clips],
        "route": [f"{clip.town}/{clip.route}" if clip.route else "" for clip in clips],
        "weather": [clip.weather for clip in clips],
        "seed": ["" if clip.seed is None else str(clip.seed) for clip in clips],
    }[config.by]
    nameless = [clip.source for clip, name in zip(clips, names, strict=True) if not name]
    if nameless:
        raise PairError(
            f"expected a {config.by} for every clip, got none for {len(nameless)} of {len(clips)}, "
            f'such as of {nameless[0]}: split by another, such as by = "route", or describe the '
            "source and plan it again"
        )
    return names


def _hashes(clips: Sequence[Clip], path: Path) -> NDArray[np.uint64]:  # (N, 3)
    """Return the hashes of every clip's first, middle and last frame; known ones are reused."""
    older = read_table(path, SPLIT, remedy="delete it").to_pylist() if path.exists() else []
    known = {row["clip_id"]: row["phash"] for row in older}
    with ThreadPoolExecutor(THREADS, thread_name_prefix="rm-split") as pool:
        found = pool.map(lambda clip: known.get(clip.clip_id) or _three_hashes(clip), clips)
        return np.array(list(found), np.uint64)


def _three_hashes(clip: Clip) -> list[np.uint64]:
    places = (0, clip.frames // 2, clip.frames - 1)
    alone = [replace(clip, first=clip.first + place * clip.stride, frames=1) for place in places]
    return [phash(read_frames(one)[0]) for one in alone]


def _connected_groups(links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the groups that are linked, directly or through others."""
    joined: dict[str, set[str]] = {}
    for one, other in links:
        both = joined.get(one, {one}) | joined.get(other, {other})
        joined |= dict.fromkeys(both, both)
    return [
        sorted(groups) for groups in {id(groups): groups for groups in joined.values()}.values()
    ]


def _split_of_joined(groups: Sequence[str], config: SplitConfig) -> Split:
    """Return the split in which linked groups come together: the one of those that are named."""
    named = {config.listed[group] for group in groups if group in config.listed}
    if len(named) > 1:
        raise PairError(
            f"expected groups without near-duplicates in different splits, got "
            f"{', '.join(groups)}, which [split] names for {' and '.join(sorted(named))}: name "
            "them for one"
        )
    if named:
        return named.pop()
    return split_of(min(groups, key=lambda group: _draw(group, config)), config)
