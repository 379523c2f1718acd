"""The motion between two recorded frames: the simulator's own, or else estimated from the render.

Legend: H W pixels.
"""

from __future__ import annotations

import numpy as np

from realmaster_live.fidelity.motion import View, places_before
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.warp import Motion, motion_of


def frame_motion(sample: Sample, before: Sample) -> Motion:
    """Return the motion between two neighbouring frames, with a leading axis of 1.

    With a label of flow or depth it is the simulator's own, see `places_before`. Without either it
    is estimated, see `motion_of`.
    """
    places = places_before(View.of(sample.frame), View.of(before.frame))
    if places is None:
        return motion_of(np.stack([before.image, sample.image]))
    return Motion(before=np.stack([places.x, places.y], axis=-1)[None], valid=places.in_view[None])
