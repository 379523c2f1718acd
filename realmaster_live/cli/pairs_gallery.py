"""`realmaster pairs gallery`: a page of accepted and rejected pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Count, Flag


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Write a page of accepted and rejected pairs.

    Attributes:
        dataset: The folder of the pairs.
        out: Folder for the page. Without it, gallery in the dataset.
        most: Show at most this many clips, rejected ones first. Without it, a usual number.
    """

    dataset: Annotated[Path, Flag(positional=True)]
    out: Annotated[Path | None, Flag(metavar="DIR")] = None
    most: Count | None = None


def run(options: Gallery) -> int:
    """Write the page, and print where it is."""
    from realmaster_live.training.pairs.gallery import GalleryConfig, gallery

    config = GalleryConfig() if options.most is None else GalleryConfig(most=options.most)
    print(gallery(options.dataset, options.out or options.dataset / "gallery", config))
    return 0
