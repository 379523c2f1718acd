"""The figures that every evaluation has: in time, of structure, of colours and of labels."""

from __future__ import annotations

from realmaster_live.training.evaluate.drives.summary import (
    Figure,
    mean_of,
    over_render,
    seam_of,
)
from realmaster_live.training.evaluate.drives.track import (
    CHANGE,
    EDGES,
    STEP,
    STRUCTURE,
    TRUST,
    WARP,
)

CHUNKS = "where chunks begin is not known: give --chunk FRAMES"
LABELS = "no labels of it, or nothing to judge: record with --labels depth,semantic,instance,flow"
SIMILARITY = {
    "edges": "outlines of objects are where the labels have them",
    "depth_order": "at borders, what is in front still looks so",
    "semantics": "surfaces look like their class",
    "boxes": "objects fill the boxes of their labels",
    "lights": "traffic lights keep their state",
}
DRIFT = Figure(
    name="palette drift", group="colours", better="lower",
    meaning="how far mean and spread of the colours wander beyond the render's, in L*a*b*",
)  # fmt: skip
DRIFT_RATE = Figure(
    name="colour drift a minute", group="colours", better="lower",
    meaning="how far the mean colour moves from the render's in a minute, in L*a*b*",
    needs="no drive of a minute or more",
)  # fmt: skip
FIGURES = (
    Figure(
        name="flicker ratio", group="time", better="lower", statistic=over_render(CHANGE),
        meaning="mean change from frame to frame over the render's own",
    ),
    Figure(
        name="warp ratio", group="time", better="lower", statistic=over_render(WARP),
        meaning="change along the motion of each surface over the render's own",
    ),
    Figure(
        name="warp error", group="time", better="lower", statistic=mean_of(WARP),
        meaning="mean change along the motion of each surface, in levels of 255",
    ),
    Figure(
        name="seam ratio", group="time", better="nearer", statistic=seam_of(CHANGE), needs=CHUNKS,
        meaning="change across borders of chunks over change inside of them",
    ),
    Figure(
        name="warp seam ratio", group="time", better="nearer", statistic=seam_of(WARP),
        meaning="the same of the change along the motion", needs=CHUNKS,
    ),
    Figure(
        name="brightness seam ratio", group="time", better="nearer", statistic=seam_of(STEP),
        meaning="the same of the step of the mean brightness", needs=CHUNKS,
    ),
    Figure(
        name="edge F1", group="structure", better="higher", statistic=mean_of(EDGES),
        meaning="edges found in each other, render and film, 2 pixels of tolerance",
    ),
    Figure(
        name="structure distance", group="structure", better="lower", statistic=mean_of(STRUCTURE),
        meaning="how differently the parts of a picture relate to each other than in the render",
    ),
    *(
        Figure(
            name=name.replace("_", " "), group="labels", better="higher", statistic=mean_of(name),
            meaning=SIMILARITY[name], needs=LABELS,
        )
        for name in TRUST
    ),
    DRIFT,
    DRIFT_RATE,
)  # fmt: skip
