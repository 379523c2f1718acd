"""What a segmenter sees in films, held to the simulator's truth: classes, depth and things.

The network is the fidelity gate's judge, or a file of the user's under the same contract
(`fidelity.judge`). The render is measured too: what the network does not see there either is its
own fault.

Legend: H W pixels, K groups of classes, R parts of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.judge import Judge, Prediction
from realmaster_live.fidelity.regions import Regions, find_regions
from realmaster_live.frames.classes import CLASS_IDS, THINGS
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.figures import LABELS
from realmaster_live.training.evaluate.drives.films import RENDER, Picture
from realmaster_live.training.evaluate.drives.summary import (
    Figure,
    Numbers,
    Statistic,
    Sums,
    mean_of,
    over,
    share_of,
)

FARTHEST_M = 80.0  # beyond, depth is not judged
MIN_THING_PX = 80  # as the fidelity gate judges them
SEEN_SHARE = 0.5  # of a thing's pixels that have to be seen as its group
MIN_INVENTED_PX = 120
NEAR_PX = 9  # around labelled things, where a blurred edge is no invention
MOST_OVERLAP = 0.1  # of an invented thing with labelled ones and their surroundings
MOVING = tuple(
    CLASS_IDS[name]
    for name in ("car", "truck", "bus", "train", "motorcycle", "bicycle", "pedestrian", "rider")
)
COUNTS = BOTH, EITHER, LABELLED = "both", "either", "labelled"
SEEN, THERE, LATE_SEEN, LATE_THERE = "seen", "there", "late seen", "late there"
LOST, IN_RENDER, INVENTED, SI_RMSE = "lost", "seen in render", "invented", "SI-RMSE"


def mean_iou(groups: Sequence[str]) -> Statistic:
    """Return the statistic that is the mean over groups of intersection over union, in percent."""

    def of(sums: Sums, film: str) -> Numbers:
        both, either, labelled = (
            np.stack([sums.total(film, f"{name} {key}") for name in groups]) for key in COUNTS
        )
        there = labelled > 0  # groups without labels are left out
        shares = np.where(there, over(both, either), 0.0)
        return 100 * over(shares.sum(0), there.sum(0).astype(float))

    return of


@dataclass(kw_only=True)
class JudgedMeasure:
    """Holds films to the labels by what a judge sees.

    Attributes:
        judge: the network.
    """

    judge: Judge
    _render: dict[int, bool] = field(default_factory=dict)  # part -> seen in the latest render
    _regions: Regions | None = None
    _first: frozenset[int] | None = None  # numbers of things in the drive's first frame

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        return (
            Figure(
                name="mIoU", group="perception", better="higher", needs=LABELS,
                statistic=mean_iou(list(self.judge.groups)),
                meaning="classes that a segmenter sees where the labels have them, percent",
            ),
            Figure(
                name="depth SI-RMSE", group="perception", better="lower", needs=LABELS,
                statistic=mean_of(SI_RMSE),
                meaning="scale-invariant error of the depth that it sees, log metres "
                "(Eigen et al. 2014)",
            ),
            Figure(
                name="thing recall", group="perception", better="higher", needs=LABELS,
                statistic=share_of(SEEN, THERE),
                meaning=f"labelled things of {MIN_THING_PX} pixels or more that it sees",
            ),
            Figure(
                name="late thing recall", group="perception", better="higher",
                needs="no thing appears after the first frame, or there are no labels",
                statistic=share_of(LATE_SEEN, LATE_THERE),
                meaning="the same of things that were not in the drive's first frame",
            ),
            Figure(
                name="vanished things", group="perception", better="lower", needs=LABELS,
                statistic=share_of(LOST, IN_RENDER),
                meaning="share of the things it sees in the render that it does not see in the "
                "film",
            ),
            Figure(
                name="invented things", group="perception", better="lower", needs=LABELS,
                statistic=mean_of(INVENTED),
                meaning="vehicles and people a frame that it sees where the labels have none",
            ),
        )  # fmt: skip

    def begin(self) -> None:
        """Begin another drive."""
        self._first = None

    def __call__(self, film: str, picture: Picture, sample: Sample) -> Mapping[str, float]:
        """Return the columns of a picture; the render's comes first of a frame."""
        if film == RENDER:
            self._regions = find_regions(sample.labels)
        regions = self._regions
        if regions is None:
            return {}
        seen = self.judge.predict(picture)
        wanted = self.judge.group_of[regions.classes][regions.numbers]  # (H, W)
        groups = whole_groups(seen, wanted.shape)
        row = self._classes(groups, wanted) | self._things(film, groups, regions)
        row[INVENTED] = float(invented(groups, regions, self._moving, self.judge))
        depth = sample.labels.get("depth")
        if depth is not None:
            row[SI_RMSE] = scale_invariant_error(seen.log_depth, np.asarray(depth, np.float32))
        return row

    @property
    def _moving(self) -> NDArray[np.int64]:
        """Return the groups of vehicles and people."""
        return np.setdiff1d(np.unique(self.judge.group_of[list(MOVING)]), [-1])

    def _classes(
        self, groups: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> dict[str, float]:  # (H, W) each
        known, count = wanted >= 0, len(self.judge.groups)
        pairs = wanted[known] * count + groups[known]
        matrix = np.bincount(pairs, minlength=count * count).reshape(count, count)
        hit = matrix.diagonal()
        either = matrix.sum(0) + matrix.sum(1) - hit
        row: dict[str, float] = {}
        for place, name in enumerate(self.judge.groups):
            found = hit[place], either[place], matrix[place].sum()
            row |= {f"{name} {key}": float(n) for key, n in zip(COUNTS, found, strict=True)}
        return row

    def _things(self, film: str, groups: NDArray[np.int64], regions: Regions) -> dict[str, float]:
        things = regions.things(MIN_THING_PX)
        of = self.judge.group_of[regions.classes]
        things = things[of[things] >= 0]
        if self._first is None:
            self._first = frozenset(regions.mask_ids[regions.things(1)].tolist())
        right = groups == of[regions.numbers]
        hits = np.bincount(regions.numbers.ravel(), right.ravel(), len(regions.keys))
        seen = {int(n): bool(hits[n] >= SEEN_SHARE * regions.pixels[n]) for n in things}
        if film == RENDER:
            self._render = seen
        late = [n for n in seen if int(regions.mask_ids[n]) not in self._first]
        in_render = [n for n in seen if self._render.get(n)]
        row = {SEEN: float(sum(seen.values())), THERE: float(len(seen))}
        row |= {LATE_SEEN: float(sum(seen[n] for n in late)), LATE_THERE: float(len(late))}
        if film != RENDER:
            lost = sum(not seen[n] for n in in_render)
            row |= {LOST: float(lost), IN_RENDER: float(len(in_render))}
        return row


def whole_groups(seen: Prediction, shape: tuple[int, ...]) -> NDArray[np.int64]:  # (H, W)
    """Return the most probable group of every pixel of a picture."""
    height, width = shape
    share = seen.share.transpose(1, 2, 0)
    full = cv2.resize(np.ascontiguousarray(share), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full.argmax(2), np.int64)


def scale_invariant_error(
    log_depth: NDArray[np.float32],  # (h, w) as it is seen, log metres
    depth: NDArray[np.float32],  # (H, W) metres
) -> float:
    """Return the root of eq. 3 of Eigen et al. (2014) with lambda 1: of log depth less its mean."""
    height, width = log_depth.shape
    wanted = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    near = (wanted > 0) & (wanted < FARTHEST_M)
    if not near.any():
        return float("nan")
    return float((log_depth[near] - np.log(wanted[near])).std())


def invented(
    groups: NDArray[np.int64],  # (H, W)
    regions: Regions,
    moving: NDArray[np.int64],
    judge: Judge,
) -> int:
    """Return how many connected vehicles or people are seen where no such thing is labelled.

    What is labelled as no group that the judge knows is not judged.
    """
    labelled = np.isin(regions.classes, list(THINGS)) | (judge.group_of[regions.classes] < 0)
    reach = np.ones((NEAR_PX, NEAR_PX), np.uint8)
    around = cv2.dilate(labelled[regions.numbers].astype(np.uint8), reach) > 0
    count = 0
    for group in moving.tolist():
        mask = (groups == group).astype(np.uint8)
        number, parts, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        overlap = np.bincount(parts.ravel(), around.ravel(), number)
        sizes = facts[:, cv2.CC_STAT_AREA]
        found = (sizes >= MIN_INVENTED_PX) & (overlap < MOST_OVERLAP * sizes)
        count += int(found[1:].sum())  # the first is what is not of the group
    return count
