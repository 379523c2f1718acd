"""The motion of recorded frames in the form that films are measured with."""

from types import SimpleNamespace

import numpy as np

from realmaster_live.training.evaluate.drives.motion import frame_motion
from realmaster_live.training.evaluate.drives.track import WARP, changes

SIZE = (48, 64)  # rows, columns


def sample(left, labels=("depth", "instance", "flow")):
    """A plate of random texture, 10 pixels wide, in front of a still wall."""
    draw = np.random.default_rng(0)
    wall, plate = (draw.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(2))
    image, depth = wall.copy(), np.full(SIZE, 30.0, np.float32)
    instance, flow = np.zeros(SIZE, np.int32), np.zeros((*SIZE, 2), np.float32)
    span = np.s_[:, left : left + 10]
    image[span], depth[span], instance[span] = plate[:, :10], 8.0, 5
    flow[span] = (3.0, 0.0)  # it moves by three pixels to the right in a frame
    found = {"depth": depth, "instance": instance, "flow": flow}
    frame = SimpleNamespace(
        labels={name: found[name] for name in labels},
        intrinsics=np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]),
        cam_to_world=np.eye(4),
        objects=(),
    )
    return SimpleNamespace(image=image, frame=frame, labels=frame.labels)


def test_what_moves_as_the_flow_says_does_not_change_along_it():
    before, now = sample(20), sample(23)
    motion = frame_motion(now, before)
    assert changes(before.image, now.image, motion)[WARP] == 0
    assert not motion.valid[0][:, 20:23].any(), "the wall that the plate uncovers was hidden"


def test_what_flickers_is_measured_in_levels():
    before, now = sample(20), sample(23)
    motion = frame_motion(now, before)
    darker, lighter = before.image // 2, now.image // 2 + 7
    assert abs(changes(darker, lighter, motion)[WARP] - 7) < 1e-4


def test_without_labels_it_is_estimated():
    before, now = sample(20, ("instance",)), sample(20, ("instance",))
    motion = frame_motion(now, before)
    assert motion.valid.mean() > 0.9
    assert changes(before.image, now.image, motion)[WARP] < 1
