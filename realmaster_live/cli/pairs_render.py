"""`realmaster pairs render`: paired clips of the embedded town."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Count, Flag, Seconds


@dataclass(frozen=True, kw_only=True)
class Render:
    """Make paired clips in the embedded town, as the game draws them and path-traced.

    Attributes:
        out: Folder for the clips.
        seeds: Which towns, such as 3 or 0:24. Without it, 0:24, or all of --truth-from.
        drives: Clips of each town.
        frames: Frames of each clip.
        size: Size of the pictures.
        dt: Seconds between frames.
        spp: Path-traced samples of each pixel.
        look: The game's look: A, which models are trained on, B, or drawn-N, which is drawn at
            random from the number N. With -aliased behind it, a pixel has one sample.
        prompts: Weathers such as rain,snow, or all; the drives of a town take them in turn.
        showing: Start each drive where it shows most of a kind of thing: lights, walkers,
            two-wheelers or signs; the drives of a town take them in turn.
        truth_every: Path-trace every n-th frame only.
        with_labels: Write the labels of every frame beside its clip.
        truth_from: Draw the clips of this folder again and share their path-traced frames. Of the
            other options, only --out, --seeds, --look and --with-labels count then.
    """

    out: Annotated[Path, Flag(metavar="DIR")]
    seeds: Annotated[str | None, Flag(metavar="A:B")] = None
    drives: Count = 2
    frames: Count = 12
    size: tuple[int, int] = (512, 288)
    dt: Seconds = 0.05
    spp: Count = 12
    look: Annotated[str, Flag(metavar="LOOK")] = "A"
    prompts: Annotated[str, Flag(metavar="NAME,...")] = "as simulated"
    showing: Annotated[str | None, Flag(metavar="KIND,...")] = None
    truth_every: Count = 1
    with_labels: bool = False
    truth_from: Annotated[Path | None, Flag(metavar="DIR")] = None


def run(options: Render) -> int:
    """Make every clip that is not there yet."""
    from realmaster_live.minitown.truth.pairs import (
        parse_kinds,
        parse_prompts,
        parse_range,
        redraw,
        render_pairs,
    )

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.truth_from is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        redraw(
            options.truth_from,
            options.out,
            options.seeds,
            look=options.look,
            with_labels=options.with_labels,
        )
        return 0
    render_pairs(
        options.out,
        seeds=parse_range(options.seeds or "0:24"),
        drives=options.drives,
        frames=options.frames,
        size=options.size,
        dt=options.dt,
        spp=options.spp,
        look=options.look,
        prompts=parse_prompts(options.prompts),
        kinds=parse_kinds(options.showing),
        truth_every=options.truth_every,
        with_labels=options.with_labels,
    )
    return 0
