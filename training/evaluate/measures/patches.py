"""Distance to photographs between patches of the same layout (sKVD).

After Richter, Abu AlHaija, Koltun, "Enhancing Photorealism Enhancement" (2021), section 5: a film's
sky is held to photographs' sky and its road to their road, so that a town with more trees than the
photographs' does not count as less real. Every patch of a film is matched with the photographs'
patch whose classes lie most alike; pairs that share too little are left out; the kernel distance of
KID is then taken between the features of both sides, at each level of the network, and averaged.

Where this differs from the paper: classes are the labels of the drive, or else of the fidelity
gate's judge, and those of the photographs the judge's, in place of MSeg; features are those of
`features.load_features` in place of VGG's.

Legend: N patches of films, M of photographs, K groups of classes, L levels, C features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.judge import Judge
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.films import Picture
from realmaster_live.training.evaluate.drives.realism import SKVD
from realmaster_live.training.evaluate.drives.sets import (
    Collected,
    Found,
    Mmd,
    cubic,
    distances_by_method,
)
from realmaster_live.training.evaluate.drives.summary import Figure, Numbers
from realmaster_live.training.evaluate.measures.features import ImageFeatures

SHARE = 0.25  # of a picture's height: the side of a patch
ACROSS = 16  # cells of a layout on each side
PATCH_PX = 96  # that features are taken at
FROM_FILM, FROM_PHOTOGRAPH = 12, 24  # patches of a picture
LEAST_ALIKE = 0.5  # share of a layout's cells that have the same class in a pair
LEAST_PAIRS = 20
UNKNOWN = -1  # group of what is not judged
Layouts = NDArray[np.int8]  # (N, ACROSS, ACROSS) group of every cell


def places(picture: Picture, count: int, seed: int) -> NDArray[np.int64]:  # (count, 3)
    """Return top, left and side of random patches."""
    height, width = picture.shape[:2]
    side = max(2, round(SHARE * height))
    draw = np.random.default_rng(seed)
    top = draw.integers(0, height - side + 1, count)
    left = draw.integers(0, max(1, width - side + 1), count)
    return np.stack([top, left, np.full(count, side)], 1)


def cut(picture: Picture, at: NDArray[np.int64]) -> NDArray[np.uint8]:  # (N, PATCH, PATCH, 3)
    """Return patches, all of one size."""
    return np.stack(
        [cv2.resize(picture[y : y + s, x : x + s], (PATCH_PX, PATCH_PX)) for y, x, s in at.tolist()]
    ).astype(np.uint8)


def layouts(groups: NDArray[np.integer], at: NDArray[np.int64]) -> Layouts:  # groups (H, W)
    """Return the groups of patches in ACROSS x ACROSS cells, by the nearest pixel of each."""
    steps = (np.arange(ACROSS) + 0.5) / ACROSS
    return np.stack(
        [
            groups[(y + steps * s).astype(int)[:, None], (x + steps * s).astype(int)[None]]
            for y, x, s in at.tolist()
        ]
    ).astype(np.int8)


def matches(
    film: Layouts, photographs: Layouts
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # (N,), (N,)
    """Return each film patch's most similar photograph patch, and the share of equal cells.

    Of equally similar ones, such as all that show nothing but sky, the next is taken in turn: one
    patch that stood for all of them would leave nothing to compare it with.
    """
    ours, theirs = _one_hot(film), _one_hot(photographs)
    alike = np.rint(ours @ theirs.T).astype(np.int64)
    best = np.empty(len(film), np.int64)
    used = np.zeros(len(photographs), np.int64)
    for row, cells in enumerate(alike):
        equal = np.flatnonzero(cells == cells.max())
        best[row] = equal[used[equal].argmin()]
        used[best[row]] += 1
    return best, alike[np.arange(len(best)), best] / ACROSS**2


def _one_hot(cells: Layouts) -> Numbers:  # (N, ACROSS^2 * K)
    flat = cells.reshape(len(cells), -1)
    return np.concatenate([flat == group for group in range(32)], axis=1).astype(np.float32)


def groups_of(picture: Picture, judge: Judge) -> NDArray[np.int64]:  # (H, W)
    """Return the groups that the judge sees in a picture."""
    share = judge.predict(picture).share.argmax(0).astype(np.uint8)
    height, width = picture.shape[:2]
    full = cv2.resize(share, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(full, np.int64)


@dataclass(kw_only=True)
class PatchDistance:
    """sKVD of every film.

    Attributes:
        extract: features of patches. judge: says what is where. known: layouts of the photographs'
            patches. real: L of (M, C) features of them.
    """

    extract: ImageFeatures
    judge: Judge
    known: Layouts
    real: Sequence[Numbers]
    _levels: list[Collected] = field(default_factory=list)
    _rows: dict[str, list[int]] = field(default_factory=dict)  # film -> of `_layouts`, joined
    _layouts: list[Layouts] = field(default_factory=list)  # of every frame
    _frame: tuple[int, int] | None = None  # block and number of the latest
    _places: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))

    @classmethod
    def to(
        cls, photographs: Iterable[Picture], extract: ImageFeatures, judge: Judge
    ) -> PatchDistance:
        """Return the distance to photographs."""
        known, levels = [], []
        for number, picture in enumerate(photographs):
            at = places(picture, FROM_PHOTOGRAPH, seed=number)
            known.append(layouts(groups_of(picture, judge), at))
            levels.append(extract(cut(picture, at)))
        real = [np.concatenate(each).astype(np.float64) for each in zip(*levels, strict=True)]
        return cls(extract=extract, judge=judge, known=np.concatenate(known), real=real)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        return (SKVD,)

    def add(self, film: str, picture: Picture, sample: Sample, block: int) -> None:
        """Take a film's picture; all films of a frame are cut at the same places."""
        if self._frame != (block, sample.frame_id):
            self._frame = block, sample.frame_id
            self._places = places(picture, FROM_FILM, seed=len(self._layouts))
            self._layouts.append(layouts(self._groups(sample), self._places))
        levels = self.extract(cut(picture, self._places))
        self._levels = self._levels or [Collected() for _ in levels]
        for collected, features in zip(self._levels, levels, strict=True):
            collected.add(film, features, block)
        first = FROM_FILM * (len(self._layouts) - 1)
        self._rows.setdefault(film, []).extend(range(first, first + FROM_FILM))

    def _groups(self, sample: Sample) -> NDArray[np.int64]:
        semantic = sample.labels.get("semantic")
        if semantic is None:
            return groups_of(sample.image, self.judge)
        return np.asarray(self.judge.group_of[semantic.astype(np.uint8)])

    def values(self, methods: Sequence[str]) -> tuple[Found, Mapping[str, str]]:
        """Return the distances by method, or the reason why there are none."""
        if not self._layouts:
            return {}, {SKVD.name: "no frames"}
        best, alike = matches(np.concatenate(self._layouts), self.known)
        kept = alike >= LEAST_ALIKE
        if kept.sum() < LEAST_PAIRS:
            return {}, {
                SKVD.name: f"only {kept.sum()} of {len(kept)} patches have a photograph's patch of "
                f"the same layout, {LEAST_PAIRS} are needed"
            }

        def distances(film: str) -> Numbers:
            rows = np.array(self._rows[film])
            chosen = kept[rows]
            theirs, counts = np.unique(best[rows[chosen]], return_counts=True)
            of_levels = []
            for collected, real in zip(self._levels, self.real, strict=True):
                features, blocks = collected.of(film)
                mmd = Mmd(kernel=cubic, real=real[theirs], weights=counts.astype(np.float64))
                of_levels.append(mmd.distances(features[chosen], blocks[chosen]))
            return np.asarray(np.mean(of_levels, axis=0))

        found = distances_by_method(self._rows, methods, distances)
        return {method: {SKVD.name: value} for method, value in found.items()}, {}
