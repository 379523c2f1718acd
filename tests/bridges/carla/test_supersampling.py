"""A picture drawn finer than its frames: smoother, with labels of the frames' own pixels."""

from itertools import islice

import numpy as np
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.errors import ConfigError
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.rig import Rig

pytestmark = pytest.mark.carla
WIDTH, HEIGHT = 160, 96


def look(owner, supersample: int):
    options = {"width": WIDTH, "height": HEIGHT, "supersample": supersample, "objects": False}
    with CarlaBridge(owner.host, owner.port, ego=owner.hero.id, timeout_s=10.0, **options) as one:
        frame = list(islice(one.frames(), 2))[-1]
        attributes = one.cameras["front"].picture.attributes
        drawn = int(attributes["image_size_x"]), int(attributes["image_size_y"])
        return frame, drawn, one.info.cameras["front"]


def test_frames_and_labels_keep_their_size_and_the_picture_is_drawn_finer(drawn_owner):
    drawn_owner.hero.set_simulate_physics(False)
    try:
        plain, _, _ = look(drawn_owner, 1)
        frame, drawn, info = look(drawn_owner, 2)
    finally:
        drawn_owner.hero.set_simulate_physics(True)
    assert drawn == (2 * WIDTH, 2 * HEIGHT)
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert frame.image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(frame.intrinsics, pinhole(WIDTH, HEIGHT, 80.0))
    assert frame.labels["depth"].shape == (HEIGHT, WIDTH)
    off = np.abs(frame.image.astype(int) - plain.image).mean()
    assert 0.05 < off < 6.0  # the same view, drawn otherwise
    same = frame.labels["semantic"] == plain.labels["semantic"]
    assert same.mean() > 0.95


def test_numbers_out_of_range_are_refused_before_anything_is_spawned(tmp_path):
    with pytest.raises(ConfigError, match="supersample of camera 'front' from 1 to 4, got 0"):
        CarlaBridge("127.0.0.1", 1, supersample=0)
    rig = tmp_path / "rig.toml"
    rig.write_text('[[camera]]\nname = "front"\nsupersample = 2.0\n')
    with pytest.raises(ConfigError, match=r"a whole number for supersample, got 2\.0"):
        Rig.load(rig)
    rig.write_text('[[camera]]\nname = "front"\nsupersample = 2\n')
    assert Rig.load(rig).cameras[0].supersample == 2
