import numpy as np
import pytest
from strips import strip_of

from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import colourize
from realmaster_live.sinks.drawing import depth_colors
from realmaster_live.sinks.viewer.mosaic import MOST_PIXELS, NUMBERS, STRIP_PX, Watch, compose
from realmaster_live.sinks.viewer.shots import Shot


@pytest.fixture
def tick(rig_at):
    return {chunk.camera: Shot(chunk=chunk, row=1) for chunk in rig_at(3)}


def test_without_a_strip_it_is_both_pictures_as_they_are(tick):
    picture = compose(tick, Watch(), 5)
    front = tick["front"]
    assert np.array_equal(picture, np.concatenate([front.rendered, front.realized], axis=1))


def test_a_row_for_each_camera_and_a_column_for_the_layer(tick):
    picture = compose(tick, Watch(cameras=("left", "front"), layer="classes"), 5)
    assert picture.shape == (128, 288, 3)
    left, front = tick["left"], tick["front"]
    assert np.array_equal(picture[:64, 96:192], left.realized)
    assert np.array_equal(picture[64:, :96], front.rendered)
    assert np.array_equal(picture[:64, 192:], colourize(left.labels["semantic"]))
    depth = compose(tick, Watch(layer="depth"), 5)
    assert np.array_equal(depth[:, 192:], depth_colors(front.labels["depth"]))


@pytest.mark.parametrize("number", [0, 1, 77, NUMBERS - 1, NUMBERS + 3])
def test_the_strip_encodes_the_moment_and_the_watch(tick, number):
    watch = Watch(cameras=("front", "left"), layer="depth", strip=True)
    picture = compose(tick, watch, number)
    assert picture.shape[1] >= 32 * STRIP_PX and picture.shape[0] % 2 == 0
    assert strip_of(picture) == (watch.stamp, number % NUMBERS, True)
    other = Watch(cameras=("left", "front"), layer="depth", strip=True)
    assert other.stamp != watch.stamp


def test_a_picture_without_a_strip_is_not_taken_for_one():
    for shade in (0, 16, 235, 255):
        assert not strip_of(np.full((64, 256, 3), shade, np.uint8))[2]


def test_large_mosaics_are_scaled_down_and_keep_their_shape(chunk_at):
    chunk = chunk_at(0, size=(1280, 720), labels=("depth",))
    tick = {"front": Shot(chunk=chunk, row=0)}
    picture = compose(tick, Watch(layer="depth", strip=True), 1)
    height, width = picture.shape[0] - STRIP_PX, picture.shape[1] // 3
    assert picture.shape[0] * picture.shape[1] < 1.02 * MOST_PIXELS
    assert width / height == pytest.approx(1280 / 720, rel=0.01)
    assert compose(tick, Watch(full=True), 1).shape == (720, 2560, 3)


def test_a_camera_that_is_not_there_is_black(tick):
    picture = compose(tick, Watch(cameras=("front", "rear")), 1)
    assert picture[:64].any() and not picture[64:].any()
    assert compose({}, Watch(strip=True), 1)[:-STRIP_PX].max() == 0


def test_a_label_that_a_camera_lacks_leaves_its_cell_black(chunk_at):
    tick = {"front": Shot(chunk=chunk_at(0, labels=("depth",)), row=0)}
    assert not compose(tick, Watch(layer="classes"), 1)[:, 192:].any()


@pytest.mark.parametrize(
    "values",
    [{"layer": "nothing"}, {"cameras": "front"}, {"cameras": [1]}, {"layer": 5},
     {"cameras": ["a"] * 17}],
)  # fmt: skip
def test_what_cannot_be_watched_is_refused(values):
    with pytest.raises(ConfigError, match="expected"):
        Watch.of(values)
