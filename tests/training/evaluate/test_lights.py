import numpy as np
import pytest

from realmaster_live.training.evaluate.lights import (
    LightCount,
    close_up,
    is_readable,
    lamp_pixels,
    read_state,
)

COLOURS = {"red": (255, 40, 30), "yellow": (255, 190, 40), "green": (40, 240, 130)}
DARK = {"red": (40, 25, 25), "yellow": (38, 36, 24), "green": (25, 40, 30)}


def a_light(state, *, at=(10.0, 6.0), size=5.0, visible=1.0):
    """A head of three lamps, one above the other."""
    left, top = at
    boxes = {
        name: [left, top + 8 * row, left + size, top + 8 * row + size]
        for row, name in enumerate(("red", "yellow", "green"))
    }
    return {"state": state, "visible": visible, "lamps": boxes}


def picture(light, lit):
    """A frame (40, 32, 3) with that head on grey; `lit` names the lamp that glows."""
    frame = np.full((40, 32, 3), 120, np.uint8)
    frame[4:30, 8:18] = 20
    for name, (left, top, right, bottom) in light["lamps"].items():
        colour = COLOURS[name] if name == lit else DARK[name]
        frame[int(top) : int(bottom), int(left) : int(right)] = colour
    return frame


@pytest.mark.parametrize("state", COLOURS)
def test_a_lit_lamp_is_read_and_a_dark_head_is_none(state):
    light = a_light(state)
    assert read_state(picture(light, state), light) == state
    assert read_state(np.full((40, 32, 3), 120, np.uint8), light) == "none"


def test_the_colour_must_be_the_lamps_own():
    """A green light in the place of the red lamp is no red light."""
    light = a_light("red")
    frame = picture(light, None)
    frame[6:11, 10:15] = COLOURS["green"]
    frame[14:19, 10:15] = frame[22:27, 10:15] = 20
    assert read_state(frame, light) == "none"


def test_a_lens_is_the_ellipse_of_its_box():
    frame = np.zeros((20, 20, 3), np.uint8)
    frame[4:14, 5:15] = 100
    pixels = lamp_pixels(frame, (5.0, 4.0, 15.0, 14.0))
    assert (pixels == 100).all()
    assert len(pixels) == pytest.approx(np.pi * 25, rel=0.1)
    assert len(lamp_pixels(frame, (-30.0, -30.0, -20.0, -20.0))) == 0
    assert len(lamp_pixels(frame, (30.0, 4.0, 40.0, 14.0))) == 0


def test_small_and_hidden_lights_are_not_judged():
    assert is_readable(a_light("red"))
    assert not is_readable(a_light("red", size=2.0))
    assert not is_readable(a_light("red", visible=0.3))


def test_shares_are_of_what_the_truth_shows():
    """Of four red lights the truth shows three; two of these are still red when realized."""
    light = a_light("red")
    red, green, dark = (picture(light, lit) for lit in ("red", "green", None))
    pictures = {
        "render": np.stack([red] * 4),
        "realized": np.stack([red, red, green, red]),
        "truth": np.stack([red, red, red, dark]),
    }
    count = LightCount()
    count.add(pictures, [[light, a_light("red", size=1.0)]] * 4)
    figures = count.figures()
    assert figures["listed"] == 8 and figures["readable"] == 4 and figures["judged"] == 3
    assert figures["kept"] == pytest.approx(2 / 3)
    assert figures["render_right"] == 1.0 and figures["truth_right"] == 0.75
    assert figures["read_as"] == {"red": {"red": 2, "green": 1}}
    assert LightCount().figures()["kept"] is None


def test_close_ups_have_one_size_even_at_the_border():
    frame = picture(a_light("red"), "red")
    for place in ((10.0, 6.0), (-3.0, -3.0), (29.0, 30.0)):
        near = close_up(frame, a_light("red", at=place))
        assert near.shape == (240, 160, 3)
    assert (close_up(frame, a_light("red")) == COLOURS["red"]).all(-1).mean() > 0.02
