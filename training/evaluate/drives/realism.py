"""How far the pictures of a film are from real photographs: KID and CMMD.

Legend: N crops of a picture, C features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.recording.sample import Sample
from realmaster_live.system.pictures import read_picture
from realmaster_live.training.evaluate.drives.films import Picture
from realmaster_live.training.evaluate.drives.sets import (
    Collected,
    Features,
    Found,
    Kernel,
    Mmd,
    cubic,
    distances_by_method,
)
from realmaster_live.training.evaluate.drives.summary import Figure

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MIN_PICTURES = 10  # the kernel distance of fewer says nothing
MOST_PHOTOGRAPHS = 500
KID = Figure(
    name="KID x1000", group="realism", better="lower",
    meaning="kernel distance of network features to those of the photographs",
    needs="no folder of photographs: give one with --real",
)  # fmt: skip
SKVD = Figure(
    name="sKVD x1000", group="realism", better="lower",
    meaning="kernel distance to the photographs between patches of the same layout",
    needs="no folder of photographs: give one with --real",
)  # fmt: skip
CMMD = Figure(
    name="CMMD", group="realism", better="lower",
    meaning="distance of CLIP's embeddings to those of the photographs",
    needs="no CLIP network, or no folder of photographs: give --clip-model and --real",
)  # fmt: skip
Extractor = Callable[[Picture], Features]  # (N, C)


def photographs(folder: Path, most: int = MOST_PHOTOGRAPHS) -> list[Path]:
    """Return the pictures of a folder and all below it, by name, at most so many.

    Raises:
        ConfigError: there are fewer than a kernel distance needs.
    """
    if not folder.is_dir():
        raise ConfigError(f"expected a folder of photographs, got {folder}: name one that exists")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if len(found) < MIN_PICTURES:
        raise ConfigError(
            f"expected {MIN_PICTURES} photographs or more in {folder}, got {len(found)}: a "
            "distance between sets needs more of them"
        )
    return found[:: max(1, len(found) // most)][:most]


def read_photographs(paths: Sequence[Path]) -> Iterator[Picture]:
    """Yield photographs; ConfigError names one that cannot be read."""
    for path in paths:
        yield read_picture(path)


@dataclass(kw_only=True)
class Distance:
    """One distance of films to photographs, by features of whole pictures.

    Attributes:
        figure: which. extract: features of a picture. mmd: how sets of them are compared.
    """

    figure: Figure
    extract: Extractor
    mmd: Mmd
    _collected: Collected = field(default_factory=Collected)

    @classmethod
    def to(
        cls,
        photographs: Iterator[Picture],
        figure: Figure,
        extract: Extractor,
        *,
        kernel: Kernel = cubic,
        unbiased: bool = True,
    ) -> Distance:
        """Return the distance to photographs."""
        real = np.concatenate([extract(each) for each in photographs]).astype(np.float64)
        return cls(
            figure=figure, extract=extract, mmd=Mmd(kernel=kernel, real=real, unbiased=unbiased)
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        return (self.figure,)

    def add(self, film: str, picture: Picture, sample: Sample, block: int) -> None:
        """Take a film's picture."""
        self._collected.add(film, self.extract(picture), block)

    def values(self, methods: Sequence[str]) -> tuple[Found, Mapping[str, str]]:
        """Return the distances by method."""
        fewest = min((len(x) for x in self._collected.features.values()), default=0)
        if fewest < MIN_PICTURES:
            return {}, {
                self.figure.name: f"only {fewest} pictures of a film, two a second, and a distance "
                f"needs {MIN_PICTURES}: give longer drives, or more of them"
            }
        found = distances_by_method(
            self._collected.features,
            methods,
            lambda film: self.mmd.distances(*self._collected.of(film)),
        )
        return {method: {self.figure.name: value} for method, value in found.items()}, {}
