import cv2
import numpy as np
import pytest

from realmaster_live.sinks import drawing

SCORES = np.array([[0, 0.5, 1, np.nan]], np.float32)


def test_text_fits_the_width_that_was_computed():
    picture = np.full((40, 400, 3), 255, np.uint8)
    drawing.write_text(picture, "realized 512x288", (10, 28), size_px=18)
    columns = np.flatnonzero((picture < 128).any(axis=(0, 2)))
    assert 5 < columns[0] < 20
    assert abs(columns[-1] - 10 - drawing.text_width("realized 512x288", 18)) < 8


def test_a_tag_is_readable_on_white_and_on_black():
    for shade in (0, 255):
        picture = np.full((60, 200, 3), shade, np.uint8)
        drawing.tag(picture, "simulator")
        assert picture[5:35, 5:90].max() > 200
        assert picture[5:35, 5:90].min() < 100
        assert (picture[40:] == shade).all()


def test_near_is_brighter_than_far():
    depth = np.array([[1.0, 5.0, 50.0, 1000.0]], np.float32)
    brightness = drawing.depth_colors(depth).astype(int).sum(axis=2)[0]
    assert (np.diff(brightness) < 0).all()


def test_objects_differ_in_colour_and_the_ground_is_dark():
    colors = drawing.instance_colors(np.array([[0, 14 << 16 | 4711, 14 << 16 | 4712]], np.int32))
    assert colors[0, 0].max() < 40
    assert abs(colors[0, 1].astype(int) - colors[0, 2]).sum() > 60


def test_pictures_are_encoded_in_their_own_colours():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 250
    for encoded in (drawing.png_bytes(red), drawing.jpeg_bytes(red)):
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        assert decoded[..., 2].min() > 230
        assert decoded[..., 0].max() < 20


def test_flow_has_a_colour_for_each_direction_and_light_for_how_far():
    flow = np.array([[[0, 0], [24, 0], [-24, 0], [6, 0], [0, 24]]], np.float32)
    still, right, left, slow, down = drawing.flow_colors(flow)[0].astype(int)
    assert (still == 0).all()
    assert right.argmax() == 0 and left.argmax() != 0 and abs(right - left).max() > 150
    assert abs(down - right).max() > 80
    assert slow.max() == pytest.approx(right.max() / 2, abs=2)


def test_trust_goes_from_red_over_yellow_to_green():
    bad, half, good, unknown = drawing.trust_colors(SCORES)[0].tolist()
    assert bad == [240, 50, 60] and half == [240, 210, 60] and good == [60, 210, 60]
    assert max(unknown) < 40
